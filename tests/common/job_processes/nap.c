/*
 * A rank without the library: it sleeps until an instant on the monotonic clock, ns, and ends. It prints when it began
 * and when it ends.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void stamp(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
}

int main(int argc, char **argv)
{
    const long long until = argc > 1 ? atoll(argv[1]) : 0;
    struct timespec at;
    at.tv_sec = (time_t)(until / 1000000000);
    at.tv_nsec = (long)(until % 1000000000);
    stamp();
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
    stamp();
    return 0;
}
