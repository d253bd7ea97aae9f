/* Eight threads share one tracker. No call fails, and the report agrees with the statuses of the calls. */
#include "check.h"

#include <pthread.h>

enum { THREADS = 8 };

struct worker {
    pthread_t thread;
    ct_tracker *tracker;
    int number;
    long ended;
};

static void one_of(ct_status status, ct_status other) {
    if (status != CT_OK) CHECK_STATUS(status, other);
}

static void *hammer(void *argument) {
    struct worker *me = (struct worker *)argument;
    int n, count = rounds(20000);
    for (n = 0; n < count; n++) {
        ct_status ended;
        one_of(ct_epoch_begin(me->tracker), CT_ESTATE);
        one_of(ct_progress(me->tracker, (uint64_t)n, (uint64_t)count), CT_ESTATE);
        if (n % 7 == me->number % 7) {
            one_of(ct_epoch_cancel(me->tracker), CT_ESTATE);
        }
        ended = ct_epoch_end(me->tracker);
        one_of(ended, CT_ESTATE);
        if (ended == CT_OK) me->ended++;
        if (n == count / 2) {
            char text[4096];
            double value = 0.0;
            size_t needed = 0;
            CHECK_STATUS(ct_value(me->tracker, "/usage/duration_s", &value), CT_OK);
            one_of(ct_report(me->tracker, "json", text, sizeof text, &needed), CT_ERANGE);
            CHECK(needed > 1);
            one_of(ct_message(me->tracker, text, sizeof text, &needed), CT_ENOENT);
        }
    }
    return NULL;
}

static void eight_threads(void) {
    struct worker workers[THREADS];
    ct_tracker *tracker = create("epochs=1000000 sim_cpu=x:10");
    long ended = 0;
    int n;
    for (n = 0; n < THREADS; n++) {
        workers[n].tracker = tracker;
        workers[n].number = n;
        workers[n].ended = 0;
        CHECK_INT(pthread_create(&workers[n].thread, NULL, hammer, &workers[n]), 0);
    }
    for (n = 0; n < THREADS; n++) {
        CHECK_INT(pthread_join(workers[n].thread, NULL), 0);
        ended += workers[n].ended;
    }
    if (ct_epoch_cancel(tracker) != CT_OK) CHECK_STATUS(ct_epoch_cancel(tracker), CT_ESTATE);
    CHECK(ended > 0);
    CHECK_EPOCHS(tracker, ended);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_progress(tracker, 1, 2), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_STATUS(ct_progress(tracker, 1, 2), CT_ESTATE);
    ct_destroy(tracker);
}

static pthread_barrier_t gate;

static void *end_epochs(void *argument) {
    struct worker *me = (struct worker *)argument;
    int n;
    for (n = 0; n < me->number; n++) {
        pthread_barrier_wait(&gate);
        while (ct_epoch_end(me->tracker) == CT_ESTATE) {
        }
        pthread_barrier_wait(&gate);
    }
    return NULL;
}

/* One thread begins epochs, another ends each as soon as it can. Progress is refused while no epoch is open. */
static void progress_agrees_with_the_epoch(void) {
    struct worker ender;
    int n;
    ender.tracker = create("sim_cpu=x:10");
    ender.number = rounds(10000);
    CHECK_INT(pthread_barrier_init(&gate, NULL, 2), 0);
    CHECK_INT(pthread_create(&ender.thread, NULL, end_epochs, &ender), 0);
    for (n = 0; n < ender.number; n++) {
        pthread_barrier_wait(&gate);
        CHECK_STATUS(ct_epoch_begin(ender.tracker), CT_OK);
        pthread_barrier_wait(&gate);
        CHECK_STATUS(ct_progress(ender.tracker, 1, 2), CT_ESTATE);
    }
    CHECK_INT(pthread_join(ender.thread, NULL), 0);
    CHECK_INT(pthread_barrier_destroy(&gate), 0);
    ct_destroy(ender.tracker);
}

static void *never_rest(void *argument) {
    struct worker *me = (struct worker *)argument;
    ct_status status = CT_OK;
    while (status != CT_ESTATE) {
        status = ct_epoch_begin(me->tracker); /* until main begins one that it does not end */
        if (status == CT_OK) one_of(ct_epoch_end(me->tracker), CT_ESTATE);
    }
    return NULL;
}

/* A value answers, even if more epochs end all the time. `make bench` measures the time that it takes. */
static void a_value_beside_a_thread_that_never_rests(void) {
    struct worker busy;
    double before = -1.0;
    int n;
    busy.tracker = create("sim_cpu=x:10");
    CHECK_INT(pthread_create(&busy.thread, NULL, never_rest, &busy), 0);
    for (n = 0; n < 3; n++) {
        const double done = value_of(busy.tracker, "/run/epochs_done");
        CHECK(done >= before);
        before = done;
    }
    while (ct_epoch_begin(busy.tracker) != CT_OK) {
    }
    CHECK_INT(pthread_join(busy.thread, NULL), 0);
    ct_destroy(busy.tracker);
}

int main(void) {
    eight_threads();
    progress_agrees_with_the_epoch();
    a_value_beside_a_thread_that_never_rests();
    return 0;
}
