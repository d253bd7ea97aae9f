/* A cancelled thread does not end inside a call of the library. It ends at its own next cancellation point. */
#include "check.h"

#include <pthread.h>

static void *forever(void *argument) {
    (void)argument;
    for (;;) {
        ct_tracker *tracker = create("sim_cpu=x:10");
        double value;
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
        CHECK_STATUS(ct_value(tracker, "/usage/duration_s", &value), CT_OK);
        ct_destroy(tracker);
        pthread_testcancel();
    }
    return NULL;
}

int main(void) {
    int n, count = rounds(200);
    for (n = 0; n < count; n++) {
        pthread_t thread;
        void *result;
        struct timespec pause = {0, 0};
        CHECK_INT(pthread_create(&thread, NULL, forever, NULL), 0);
        pause.tv_nsec = 137000L * (n % 40);
        nanosleep(&pause, NULL);
        CHECK_INT(pthread_cancel(thread), 0);
        CHECK_INT(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
    }
    return 0;
}
