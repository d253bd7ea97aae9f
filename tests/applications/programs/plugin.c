/*
 * A plug-in whose constructor makes a tracker and marks two epochs. dlopen calls it under the loader's lock, which each
 * new thread needs. CT_OPTIONS has the options. CT_ENDS names the end of the tracker: "constructor", "destructor" or
 * "exit".
 */
#include "check.h"

static ct_tracker *tracker;

static int is_ended_by(const char *what) {
    const char *ends = getenv("CT_ENDS");
    return ends != NULL && strcmp(ends, what) == 0;
}

static void an_epoch(void) {
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    sleep_ms(5);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
}

__attribute__((constructor)) static void begin(void) {
    tracker = create(getenv("CT_OPTIONS"));
    an_epoch();
    an_epoch();
    if (is_ended_by("constructor")) ct_destroy(tracker);
}

__attribute__((destructor)) static void end(void) {
    if (is_ended_by("destructor")) ct_destroy(tracker);
}
