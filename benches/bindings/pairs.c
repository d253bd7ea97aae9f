/* A million empty epochs: the cost of a begin or an end, ns. Beside this file is the same program in each language. */
#define _POSIX_C_SOURCE 200809L
#include <carbontracker.h>
#include <stdio.h>
#include <time.h>

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static double pairs(ct_tracker *tracker, long count)
{
    const double start = now_ns();
    for (long n = 0; n < count; n++) {
        ct_epoch_begin(tracker);
        ct_epoch_end(tracker);
    }
    return (now_ns() - start) / (2.0 * (double)count);
}

int main(void)
{
    ct_tracker *tracker = NULL;
    if (ct_create("sim_cpu=bench:100", &tracker) != CT_OK)
        return 1;
    pairs(tracker, 100000);
    printf("%.1f\n", pairs(tracker, 1000000));
    ct_destroy(tracker);
    return 0;
}
