/* The version in the header at compile time is the version of the library at run time. */
#include "check.h"

int main(void) {
    static const int known[] = {CT_OK,     CT_DISABLED, CT_OVER_BUDGET, CT_EINVAL, CT_ESTATE,
                                CT_ERANGE, CT_ENOENT,   CT_EIO,         CT_EFORK,  CT_EPANIC};
    const size_t count = sizeof known / sizeof *known;
    const char *unknown = ct_status_string(12345);
    char version[64];
    size_t n, m;
    print_to(version, sizeof version, "%d.%d.%d", CT_VERSION_MAJOR, CT_VERSION_MINOR, CT_VERSION_PATCH);
    CHECK_TEXT(ct_version(), version);
    CHECK_INT(ct_abi_version(), CT_ABI_VERSION);

    for (n = 0; n < count; n++) {
        CHECK(strlen(ct_status_string(known[n])) > 0);
        CHECK(strcmp(ct_status_string(known[n]), unknown) != 0);
        for (m = 0; m < n; m++) CHECK(strcmp(ct_status_string(known[n]), ct_status_string(known[m])) != 0);
    }
    CHECK(strlen(unknown) > 0);
    CHECK(strlen(ct_status_string(INT32_MIN)) > 0 && strlen(ct_status_string(INT32_MAX)) > 0);
    CHECK_INT(sizeof(ct_status), 4);
    CHECK_TEXT(ct_last_error(), "");
    return 0;
}
