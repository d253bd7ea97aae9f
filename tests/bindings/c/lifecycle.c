/* From ct_create to ct_destroy: the order of calls, the statuses of a wrong order, and that no resource is left. */
#include "check.h"

#include <signal.h>
#include <sys/resource.h>

static void the_order_of_calls(void) {
    ct_tracker *tracker = create("epochs=2 sim_cpu=x:10");
    CHECK_STATUS(ct_epoch_end(tracker), CT_ESTATE);
    CHECK_HAS(ct_last_error(), "no epoch is open");
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_ESTATE);
    CHECK_STATUS(ct_progress(tracker, 1, 2), CT_ESTATE);
    CHECK_EPOCHS(tracker, 0);

    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    sleep_ms(20);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_ESTATE);
    CHECK_HAS(ct_last_error(), "open already");
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_ESTATE);
    CHECK_EPOCHS(tracker, 1);
    /* The second begin has not changed the time stamp of the first. */
    CHECK_BETWEEN(value_of(tracker, "/epochs/0/duration_s"), 0.02, 60.0);

    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_ESTATE);
    CHECK_STATUS(ct_epoch_end(tracker), CT_ESTATE);
    CHECK_EPOCHS(tracker, 1);
    ct_destroy(tracker);
}

static void phases(void) {
    ct_tracker *tracker = create("epochs=2 sim_cpu=x:10");
    char name[130];
    int n;
    CHECK_STATUS(ct_phase_end(tracker), CT_ESTATE);
    CHECK_HAS(ct_last_error(), "no phase is open");
    memset(name, 'n', sizeof name);
    name[129] = '\0';
    CHECK_STATUS(ct_phase_begin(tracker, name), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "129 bytes");
    CHECK_STATUS(ct_phase_begin(tracker, name + 1), CT_OK);
    CHECK_STATUS(ct_phase_end(tracker), CT_OK);
    CHECK_STATUS(ct_phase_begin(tracker, ""), CT_EINVAL);
    CHECK_STATUS(ct_phase_begin(tracker, "\xff"), CT_EINVAL);
    for (n = 0; n < 64; n++) CHECK_STATUS(ct_phase_begin(tracker, "deep"), CT_OK);
    CHECK_STATUS(ct_phase_begin(tracker, "deep"), CT_ESTATE);
    CHECK_HAS(ct_last_error(), "too many phases are open");
    for (n = 0; n < 64; n++) CHECK_STATUS(ct_phase_end(tracker), CT_OK);
    CHECK_STATUS(ct_phase_end(tracker), CT_ESTATE);
    CHECK_STATUS(ct_epoch_end(tracker), CT_ESTATE);
    CHECK_INT(value_of(tracker, "/phases/rows/deep~1deep/entries"), 1);
    ct_destroy(tracker);
}

static void progress(void) {
    ct_tracker *tracker = create("epochs=2 sim_cpu=x:10");
    double share = 42.0;
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_progress(tracker, 1, 4), CT_OK);
    CHECK_STATUS(ct_progress(tracker, 1, 0), CT_EINVAL);
    CHECK_STATUS(ct_progress(tracker, 0, 0), CT_EINVAL);
    CHECK_STATUS(ct_progress(tracker, 5, 4), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "5 of 4");
    /* until the sampler has seen the begin */
    for (share = 42.0; ct_value(tracker, "/run/progress", &share) == CT_ENOENT;) sleep_ms(1);
    CHECK_BETWEEN(share, 0.25, 0.25);
    CHECK_STATUS(ct_progress(tracker, UINT64_MAX, UINT64_MAX), CT_OK);
    CHECK_BETWEEN(value_of(tracker, "/run/progress"), 1.0, 1.0);
    CHECK_STATUS(ct_progress(tracker, UINT64_MAX / 2, UINT64_MAX), CT_OK);
    CHECK_BETWEEN(value_of(tracker, "/run/progress"), 0.4999, 0.5001);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_STATUS(ct_value(tracker, "/run/progress", &share), CT_ENOENT);
    ct_destroy(tracker);
}

static void more_epochs_than_planned(void) {
    ct_tracker *tracker = create("epochs=2 sim_cpu=x:10");
    int n;
    for (n = 0; n < 5; n++) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    }
    CHECK_EPOCHS(tracker, 5);
    CHECK_INT(value_of(tracker, "/run/epochs_planned"), 2);
    ct_destroy(tracker);
}

static void several_at_once(void) {
    ct_tracker *one = create("name=one sim_cpu=x:10"), *two = create("name=two sim_cpu=x:20");
    CHECK(one != two);
    CHECK_STATUS(ct_epoch_begin(one), CT_OK);
    CHECK_STATUS(ct_epoch_end(two), CT_ESTATE);
    CHECK_STATUS(ct_epoch_end(one), CT_OK);
    CHECK_EPOCHS(one, 1);
    CHECK_EPOCHS(two, 0);
    ct_destroy(one);
    CHECK_STATUS(ct_epoch_begin(two), CT_OK);
    CHECK_STATUS(ct_epoch_end(two), CT_OK);
    ct_destroy(two);
}

static void disabled(void) {
    ct_tracker *tracker = (ct_tracker *)&tracker;
    CHECK(setenv("CARBONTRACKER_DISABLE", "1", 1) == 0);
    CHECK_STATUS(ct_create("epochs=2", &tracker), CT_DISABLED);
    CHECK(tracker == NULL);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_DISABLED);
    ct_destroy(tracker);
    CHECK(unsetenv("CARBONTRACKER_DISABLE") == 0);
    ct_destroy(create("epochs=2 sim_cpu=x:10"));
}

static void a_part_of_the_epochs_is_enough(void) {
    ct_tracker *tracker = create("epochs=4 monitor_epochs=2 sim_cpu=x:10");
    int n;
    for (n = 0; n < 4; n++) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        CHECK_STATUS(ct_progress(tracker, 1, 2), CT_OK);
        sleep_ms(2);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    }
    CHECK_EPOCHS(tracker, 2);
    CHECK_STATUS(ct_epoch_end(tracker), CT_ESTATE);
    ct_destroy(tracker);
}

/* In a child process, because the limit cannot be raised again. */
static void no_thread_to_be_had(void) {
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none;
        ct_tracker *tracker = (ct_tracker *)&tracker;
        sigset_t mask;
        none.rlim_cur = none.rlim_max = 0;
        CHECK_INT(setrlimit(RLIMIT_NPROC, &none), 0);
        if (geteuid() == 0) CHECK_INT(setuid(65534), 0); /* the limit does not apply to root */
        CHECK_STATUS(ct_create("sim_cpu=x:10", &tracker), CT_EIO);
        CHECK(tracker == (ct_tracker *)&tracker);
        CHECK_HAS(ct_last_error(), "thread");
        CHECK_INT(sigprocmask(SIG_SETMASK, NULL, &mask), 0);
        CHECK_INT(sigismember(&mask, SIGTERM), 0);
        _exit(0);
    }
    check_child(child);
}

static void nothing_stays_behind(void) {
    int fds = entries_of("/proc/self/fd"), n;
    double deadline;
    for (n = 0; n < rounds(1000); n++) {
        ct_tracker *tracker = create("sim_cpu=x:10");
        if (n % 3 > 0) CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        if (n % 3 > 1) CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
        if (n % 2 > 0) {
            ct_destroy(tracker);
        } else {
            ct_release(tracker);
        }
    }
    deadline = now_s() + AWAIT_S;
    while (entries_of("/proc/self/task") > 1 && now_s() < deadline) sleep_ms(5);
    CHECK_INT(entries_of("/proc/self/task"), 1);
    CHECK_INT(entries_of("/proc/self/fd"), fds);
}

int main(void) {
    the_order_of_calls();
    phases();
    progress();
    more_epochs_than_planned();
    several_at_once();
    disabled();
    a_part_of_the_epochs_is_enough();
    no_thread_to_be_had();
    nothing_stays_behind();
    return 0;
}
