/* A fork with a live tracker: the child gets an error and creates its own tracker; the parent continues. */
#include "check.h"

#include <pthread.h>

static void the_parents_tracker_in_the_child(ct_tracker *tracker, ct_tracker *other) {
    double value = 42.0;
    size_t needed = 77;
    char text[16] = "before";
    CHECK_STATUS(ct_epoch_begin(tracker), CT_EFORK);
    CHECK_HAS(ct_last_error(), "fork");
    CHECK_STATUS(ct_epoch_end(tracker), CT_EFORK);
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_EFORK);
    CHECK_STATUS(ct_phase_begin(tracker, "solve"), CT_EFORK);
    CHECK_STATUS(ct_phase_end(tracker), CT_EFORK);
    CHECK_STATUS(ct_progress(tracker, 1, 2), CT_EFORK);
    CHECK_STATUS(ct_run_progress(tracker, 1.0, 2.0), CT_EFORK);
    CHECK_STATUS(ct_value(tracker, "/usage/duration_s", &value), CT_EFORK);
    CHECK_BETWEEN(value, 42.0, 42.0);
    CHECK_STATUS(ct_report(tracker, "text", text, sizeof text, &needed), CT_EFORK);
    CHECK_TEXT(text, "");
    strcpy(text, "before");
    CHECK_STATUS(ct_message(tracker, text, sizeof text, &needed), CT_EFORK);
    CHECK_TEXT(text, "");
    CHECK_INT(needed, 77);
    ct_destroy(tracker);
    ct_release(other);
}

static void a_fresh_one(void) {
    ct_tracker *tracker = create("sim_cpu=x:10");
    (void)sampler_tid();
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_EPOCHS(tracker, 1);
    CHECK_BETWEEN(value_of(tracker, "/usage/energy_j"), 0.0, 100.0);
    ct_destroy(tracker);
}

static void in_the_child(ct_tracker *tracker, ct_tracker *other) {
    pid_t grandchild;
    the_parents_tracker_in_the_child(tracker, other);
    a_fresh_one();
    grandchild = fork();
    if (grandchild == 0) {
        a_fresh_one();
        _exit(0);
    }
    check_child(grandchild);
    _exit(0);
}

static void *busy(void *argument) {
    ct_tracker *tracker = (ct_tracker *)argument;
    char text[4096];
    while (ct_progress(tracker, 1, 1) != CT_EINVAL) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        (void)ct_message(tracker, text, sizeof text, NULL);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
        if (value_of(tracker, "/run/epochs_done") >= rounds(60)) break;
    }
    return NULL;
}

/* A thread may hold any lock at the moment of the fork. The child must not wait for it. */
static void fork_beside_a_busy_thread(void) {
    ct_tracker *tracker = create("epochs=100000 sim_cpu=x:10 interval=0.01");
    pthread_t thread;
    int n;
    CHECK_INT(pthread_create(&thread, NULL, busy, tracker), 0);
    for (n = 0; n < rounds(60); n++) {
        pid_t child = fork();
        if (child == 0) {
            CHECK_STATUS(ct_epoch_begin(tracker), CT_EFORK);
            a_fresh_one();
            ct_destroy(tracker);
            _exit(0);
        }
        check_child(child);
    }
    CHECK_INT(pthread_join(thread, NULL), 0);
    ct_destroy(tracker);
}

int main(void) {
    ct_tracker *tracker = create("sim_cpu=x:10"), *other = create("sim_cpu=x:10");
    pid_t child;
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    child = fork();
    if (child == 0) in_the_child(tracker, other);
    check_child(child);
    child = fork();
    if (child == 0) exit(0); /* exit handlers run, and nothing was closed before */
    check_child(child);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_EPOCHS(tracker, 1);
    ct_destroy(other);
    ct_destroy(tracker);
    fork_beside_a_busy_thread();
    return 0;
}
