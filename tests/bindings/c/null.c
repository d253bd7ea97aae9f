/* NULL for every pointer argument. */
#include "check.h"

static void a_null_tracker_is_a_disabled_one(void) {
    double value = 42.0;
    size_t needed = 77;
    char text[8] = "before";
    CHECK_STATUS(ct_epoch_begin(NULL), CT_DISABLED);
    CHECK_STATUS(ct_epoch_end(NULL), CT_DISABLED);
    CHECK_STATUS(ct_epoch_cancel(NULL), CT_DISABLED);
    CHECK_STATUS(ct_phase_begin(NULL, "solve"), CT_DISABLED);
    CHECK_STATUS(ct_phase_begin(NULL, NULL), CT_DISABLED);
    CHECK_STATUS(ct_phase_end(NULL), CT_DISABLED);
    CHECK_STATUS(ct_progress(NULL, 1, 2), CT_DISABLED);
    CHECK_STATUS(ct_progress(NULL, 2, 0), CT_DISABLED);
    CHECK_STATUS(ct_run_progress(NULL, 1.0, -2.0), CT_DISABLED);
    CHECK_STATUS(ct_value(NULL, "/usage/energy_j", &value), CT_DISABLED);
    CHECK_STATUS(ct_value(NULL, NULL, NULL), CT_DISABLED);
    CHECK_BETWEEN(value, 42.0, 42.0);
    CHECK_STATUS(ct_report(NULL, "text", text, sizeof text, &needed), CT_DISABLED);
    CHECK_TEXT(text, "");
    CHECK_INT(needed, 1);
    needed = 77;
    strcpy(text, "before");
    CHECK_STATUS(ct_message(NULL, text, sizeof text, &needed), CT_DISABLED);
    CHECK_TEXT(text, "");
    strcpy(text, "before");
    needed = 77;
    CHECK_STATUS(ct_report(NULL, "text", text, 0, &needed), CT_DISABLED);
    CHECK_TEXT(text, "before");
    CHECK_STATUS(ct_text(NULL, "/run/name", NULL, 0, NULL), CT_DISABLED);
    CHECK_STATUS(ct_text(NULL, NULL, NULL, 100, NULL), CT_DISABLED);
    CHECK_STATUS(ct_error(NULL, text, sizeof text, &needed), CT_ENOENT);
    CHECK_TEXT(text, "");
    CHECK_INT(needed, 1);
    CHECK_STATUS(ct_error(NULL, NULL, 0, NULL), CT_ENOENT);
    strcpy(text, "before");
    CHECK_STATUS(ct_report(NULL, NULL, NULL, 0, NULL), CT_DISABLED);
    CHECK_STATUS(ct_report(NULL, NULL, NULL, 100, NULL), CT_DISABLED);
    CHECK_STATUS(ct_message(NULL, NULL, 0, NULL), CT_DISABLED);
    CHECK_STATUS(ct_message(NULL, NULL, 100, NULL), CT_DISABLED);
    CHECK_INT(needed, 1);
    ct_destroy(NULL);
    ct_release(NULL);
    CHECK_TEXT(ct_last_error(), "");
}

static void a_live_tracker_says_what_is_missing(void) {
    ct_tracker *tracker = create(NULL);
    double value = 42.0;
    size_t needed = 77;
    char text[8] = "before";
    CHECK_STATUS(ct_phase_begin(tracker, NULL), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "ct_phase_begin");
    CHECK_STATUS(ct_value(tracker, NULL, &value), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "pointer is NULL");
    CHECK_STATUS(ct_value(tracker, "/pue", NULL), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "out is NULL");
    CHECK_BETWEEN(value, 42.0, 42.0);
    CHECK_STATUS(ct_text(tracker, NULL, text, sizeof text, NULL), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "pointer is NULL");
    CHECK_STATUS(ct_text(tracker, "/run/version", NULL, 0, NULL), CT_ERANGE);
    CHECK_STATUS(ct_report(tracker, NULL, text, sizeof text, &needed), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "format is NULL");
    CHECK_TEXT(text, "");
    CHECK_INT(needed, 77);
    CHECK_STATUS(ct_report(tracker, "text", NULL, 0, &needed), CT_ERANGE);
    CHECK(needed > 1 && needed != 77);
    CHECK_STATUS(ct_report(tracker, "text", NULL, 1000000, NULL), CT_ERANGE);
    /* No location is set, so a message about the world's average is queued. */
    needed = 77;
    CHECK_STATUS(ct_message(tracker, NULL, 0, &needed), CT_ERANGE);
    CHECK(needed > 1 && needed != 77);
    CHECK_STATUS(ct_message(tracker, NULL, 1000000, NULL), CT_ERANGE);
    ct_destroy(tracker);
}

int main(void) {
    CHECK_TEXT(ct_last_error(), "");
    a_null_tracker_is_a_disabled_one();
    CHECK_STATUS(ct_create("epochs=1", NULL), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "out is NULL");
    CHECK_STATUS(ct_create(NULL, NULL), CT_EINVAL);
    a_live_tracker_says_what_is_missing();
    return 0;
}
