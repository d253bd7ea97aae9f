/* An application may use up its memory directly after ct_create. A thread of the library that registers a thread-local
 * destructor then would end the program: glibc has no memory for the entry. So all of them are registered before
 * ct_create returns. This program sees each registration, and makes it slow. */
#include "check.h"

#include <dlfcn.h>

typedef int (*registration)(void (*)(void *), void *, void *);

static int during_create;
static int after_create;
static int is_created;

#ifdef __cplusplus
extern "C"
#endif
    int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *dso);

/* Found before the function of glibc, which it calls. */
int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *dso) {
    void *found = dlsym(RTLD_NEXT, "__cxa_thread_atexit_impl");
    registration real;
    memcpy(&real, &found, sizeof real);
    sleep_ms(20);
    __atomic_fetch_add(__atomic_load_n(&is_created, __ATOMIC_SEQ_CST) ? &after_create : &during_create, 1,
                       __ATOMIC_SEQ_CST);
    return real(destructor, object, dso);
}

int main(void) {
    ct_tracker *tracker = NULL;
    double joules;
    CHECK_STATUS(ct_create("sim_cpu=x:10 components=cpu", &tracker), CT_OK);
    __atomic_store_n(&is_created, 1, __ATOMIC_SEQ_CST);
    sleep_ms(200);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    sleep_ms(200);
    CHECK_INT(__atomic_load_n(&after_create, __ATOMIC_SEQ_CST), 0);
    CHECK_STATUS(ct_value(tracker, "/usage/energy_j", &joules), CT_OK);
    CHECK(during_create > 0);
    ct_destroy(tracker);
    return 0;
}
