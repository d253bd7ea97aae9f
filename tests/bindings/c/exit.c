/* Applications that exit without ct_destroy, while an epoch is open and the sampler works. Each is a child process. */
#include "check.h"

#include <pthread.h>

static ct_tracker *tracker; /* static: the pointer stays reachable, so valgrind finds no leak */

static void start(void) {
    tracker = create("epochs=10 sim_cpu=x:10 interval=0.001");
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
}

static void at_exit(void) {
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_EPOCHS(tracker, 2);
    ct_destroy(tracker);
}

static void *exit_beside(void *unused) {
    (void)unused;
    exit(0);
    return NULL;
}

/* Calls the library while the thread ends. Its own thread-local variables may be destroyed already. */
static void last_words(void *unused) {
    (void)unused;
    CHECK_STATUS(ct_epoch_begin(tracker), CT_ESTATE);
    CHECK_HAS(ct_last_error(), "open already");
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
}

static void *thread_that_calls_as_it_ends(void *key) {
    CHECK_INT(pthread_setspecific(*(pthread_key_t *)key, key), 0);
    return NULL;
}

enum { RETURN, EXIT, EXIT_AT_ONCE, DESTROY_AT_EXIT, EXIT_OF_A_THREAD, THREAD_LOCALS, WAYS };

static int leave(int way) {
    pthread_t thread;
    pthread_key_t key;
    switch (way) {
    case RETURN:
        start();
        return 0;
    case EXIT:
        start();
        exit(0);
    case EXIT_AT_ONCE:
        tracker = create("sim_cpu=x:10");
        exit(0);
    case DESTROY_AT_EXIT:
        start();
        CHECK_INT(atexit(at_exit), 0);
        return 0;
    case EXIT_OF_A_THREAD:
        start();
        CHECK_INT(pthread_create(&thread, NULL, exit_beside, NULL), 0);
        for (;;) (void)value_of(tracker, "/usage/duration_s");
    default:
        start();
        CHECK_INT(pthread_key_create(&key, last_words), 0);
        CHECK_INT(pthread_create(&thread, NULL, thread_that_calls_as_it_ends, &key), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        return 0;
    }
}

int main(void) {
    int way, n;
    for (way = 0; way < WAYS; way++) {
        for (n = 0; n < rounds(10); n++) {
            pid_t child = fork();
            if (child == 0) return leave(way);
            check_child(child);
        }
    }
    return 0;
}
