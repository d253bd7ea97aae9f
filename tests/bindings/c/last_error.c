/* Each thread has its own ct_last_error, and keeps it until a call fails in that thread again. */
#include "check.h"

#include <pthread.h>

static void *another_thread(void *argument) {
    ct_tracker *tracker = (ct_tracker *)argument;
    const char *mine = ct_last_error();
    CHECK_TEXT(mine, "");
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_OK);
    CHECK_TEXT(mine, "");
    CHECK_STATUS(ct_progress(tracker, 9, 3), CT_EINVAL);
    CHECK_HAS(mine, "9 of 3");
    return NULL;
}

/* ct_error has the newest failure of any thread, for each tracker, and of calls without a tracker. */
static void errors_of_trackers(ct_tracker *tracker) {
    ct_tracker *other = create("sim_cpu=x:10"), *none = NULL;
    char text[1024];
    size_t needed = 0;
    pthread_t thread;
    CHECK_STATUS(ct_error(other, text, sizeof text, &needed), CT_ENOENT);
    CHECK_TEXT(text, "");
    CHECK_INT(pthread_create(&thread, NULL, another_thread, tracker), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_STATUS(ct_error(tracker, text, sizeof text, &needed), CT_OK);
    CHECK_HAS(text, "9 of 3");
    CHECK_INT(needed, strlen(text) + 1);
    CHECK_STATUS(ct_error(tracker, text, 4, &needed), CT_ERANGE);
    CHECK_INT(strlen(text), 3);
    CHECK_STATUS(ct_error(tracker, text, sizeof text, NULL), CT_OK);
    CHECK_HAS(text, "9 of 3"); /* the call that did not fit has not replaced it */
    CHECK_STATUS(ct_error(other, text, sizeof text, NULL), CT_ENOENT);
    CHECK_STATUS(ct_create("epohcs=3", &none), CT_EINVAL);
    CHECK_STATUS(ct_error(NULL, text, sizeof text, NULL), CT_OK);
    CHECK_HAS(text, "epohcs");
    ct_destroy(other);
}

int main(void) {
    ct_tracker *tracker = create("sim_cpu=x:10");
    const char *mine = ct_last_error();
    char first[1024], text[4096];
    pthread_t thread;
    double value = 0.0;
    CHECK_TEXT(mine, "");

    CHECK_STATUS(ct_epoch_end(tracker), CT_ESTATE);
    CHECK(ct_last_error() == mine); /* one buffer: an older pointer stays valid */
    CHECK_HAS(mine, "ct_epoch_end");
    print_to(first, sizeof first, "%s", mine);

    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_STATUS(ct_value(tracker, "/pue", &value), CT_OK);
    CHECK_STATUS(ct_report(tracker, "csv", text, sizeof text, NULL), CT_OK);
    CHECK_STATUS(ct_epoch_begin(NULL), CT_DISABLED);
    CHECK_TEXT(mine, first); /* no success clears it */

    CHECK_INT(pthread_create(&thread, NULL, another_thread, tracker), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK_TEXT(mine, first); /* nor does another thread's failure change it */

    CHECK_STATUS(ct_value(tracker, "/nonsense", &value), CT_EINVAL);
    CHECK_HAS(mine, "/nonsense");
    CHECK_STATUS(ct_report(tracker, "text", text, 3, NULL), CT_ERANGE);
    CHECK_HAS(mine, "3");
    errors_of_trackers(tracker);
    ct_destroy(tracker);
    CHECK(ct_last_error() == mine && mine[0] != '\0');
    return 0;
}
