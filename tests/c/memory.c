/* However little memory is left, ct_create fails with CT_EIO and the host lives on. */
#include "check.h"

#include <sys/resource.h>

static long virtual_kb(void) {
    FILE *statm = fopen("/proc/self/statm", "r");
    long pages = 0;
    CHECK(statm != NULL);
    CHECK_INT(fscanf(statm, "%ld", &pages), 1);
    fclose(statm);
    return pages * 4;
}

enum { TRACKED = 0, REFUSED = 2 }; /* 1: a check failed */

static int track_within(long spare_kb) {
    struct rlimit limit;
    ct_tracker *tracker = NULL;
    ct_status status;
    limit.rlim_cur = limit.rlim_max = (rlim_t)(virtual_kb() + spare_kb) * 1024;
    CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
    status = ct_create("sim_cpu=x:1", &tracker);
    if (status != CT_OK) {
        CHECK_STATUS(status, CT_EIO);
        CHECK(tracker == NULL && strstr(ct_last_error(), "ulimit -v") != NULL);
        return REFUSED;
    }
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    ct_destroy(tracker);
    return TRACKED;
}

int main(void) {
    int tracked = 0, refused = 0;
    long spare;
    if (getenv("CT_VALGRIND") != NULL) return 0; /* valgrind's own memory falls under the limit */
    for (spare = 0; spare <= 16000; spare += 400) {
        int status = 0;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) _exit(track_within(spare));
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == TRACKED || WEXITSTATUS(status) == REFUSED));
        if (WEXITSTATUS(status) == TRACKED) {
            tracked++;
        } else {
            refused++;
        }
    }
    CHECK(tracked > 0 && refused > 0);
    return 0;
}
