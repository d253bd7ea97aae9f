/* Begin, progress and end allocate nothing. Phases allocate nothing after the first begin of each. */
#include "check.h"

static __thread unsigned long allocations;

#ifdef __GLIBC__
#ifdef __cplusplus
#define NO_THROW __THROW
extern "C" {
#else
#define NO_THROW
#endif
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) NO_THROW {
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) NO_THROW {
    allocations++;
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size) NO_THROW {
    allocations++;
    return __libc_realloc(block, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) NO_THROW {
    void *block = __libc_memalign(alignment, size);
    allocations++;
    if (block != NULL) *out = block;
    return block == NULL ? ENOMEM : 0;
}
#ifdef __cplusplus
}
#endif
#endif

static void phases(ct_tracker *tracker) {
    CHECK_STATUS(ct_phase_begin(tracker, "step"), CT_OK);
    CHECK_STATUS(ct_phase_begin(tracker, "solve"), CT_OK);
    CHECK_STATUS(ct_phase_end(tracker), CT_OK);
    CHECK_STATUS(ct_phase_end(tracker), CT_OK);
}

int main(void) {
    ct_tracker *tracker;
    int n;
#ifndef __GLIBC__
    printf("skipped: only with glibc\n");
    return 0;
#endif
    tracker = create("epochs=20000 sim_cpu=x:100 intensity=50");
    CHECK(allocations > 0);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    phases(tracker);
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_OK);
    allocations = 0;
    for (n = 0; n < 20000; n++) { /* more than the ring holds */
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        phases(tracker);
        CHECK_STATUS(ct_progress(tracker, 1, 2), CT_OK);
        CHECK_STATUS(ct_run_progress(tracker, n, 20000.0), CT_OK);
        if (n % 10 == 0) {
            CHECK_STATUS(ct_epoch_cancel(tracker), CT_OK);
        } else {
            CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
        }
    }
    CHECK_INT(allocations, 0);
    ct_destroy(tracker);
    return 0;
}
