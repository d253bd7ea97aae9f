/*
 * An application that loads the library as a plug-in and unloads it, with a live tracker or without one. CT_SO or the
 * first argument names the library; this program is not linked to it.
 */
#include "check.h"

#include <dlfcn.h>

struct api {
    void *library;
    ct_status (*create)(const char *, ct_tracker **);
    ct_status (*begin)(ct_tracker *);
    ct_status (*end)(ct_tracker *);
    ct_status (*value)(ct_tracker *, const char *, double *);
    void (*destroy)(ct_tracker *);
    uint32_t (*abi_version)(void);
};

/* ISO C has no cast from an object's address to a function's. */
static void look_up(void *library, const char *name, void *function, size_t size) {
    void *found = dlsym(library, name);
    if (found == NULL) check_failed(__FILE__, __LINE__, "dlsym %s: %s", name, dlerror());
    memcpy(function, &found, size);
}

static struct api load(const char *path) {
    struct api api;
    api.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (api.library == NULL) check_failed(__FILE__, __LINE__, "dlopen: %s", dlerror());
    look_up(api.library, "ct_create", &api.create, sizeof api.create);
    look_up(api.library, "ct_epoch_begin", &api.begin, sizeof api.begin);
    look_up(api.library, "ct_epoch_end", &api.end, sizeof api.end);
    look_up(api.library, "ct_value", &api.value, sizeof api.value);
    look_up(api.library, "ct_destroy", &api.destroy, sizeof api.destroy);
    look_up(api.library, "ct_abi_version", &api.abi_version, sizeof api.abi_version);
    CHECK_INT(api.abi_version(), CT_ABI_VERSION);
    return api;
}

static void an_epoch(const struct api *api, ct_tracker *tracker, int done) {
    double epochs = 0.0;
    CHECK_INT(api->begin(tracker), CT_OK);
    CHECK_INT(api->end(tracker), CT_OK);
    CHECK_INT(api->value(tracker, "/run/epochs_done", &epochs), CT_OK);
    CHECK_INT(epochs, done);
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : getenv("CT_SO");
    int n;
    if (path == NULL) check_failed(__FILE__, __LINE__, "no library is named: set CT_SO=");
    for (n = 0; n < rounds(40); n++) {
        struct api api = load(path);
        ct_tracker *tracker = NULL;
        CHECK_INT(api.create("sim_cpu=x:10 interval=0.001", &tracker), CT_OK);
        an_epoch(&api, tracker, 1);
        if (n % 2 == 0) {
            /* Unloads it while the sampler works, then loads it again. */
            CHECK_INT(dlclose(api.library), 0);
            sleep_ms(10);
            api = load(path);
            an_epoch(&api, tracker, 2);
        }
        api.destroy(tracker);
        CHECK_INT(dlclose(api.library), 0);
    }
    return 0;
}
