/* The sampler runs only on the processors that the application's own threads may use. */
#include "check.h"

#include <pthread.h>
#include <sched.h>

static int released;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;

/* Another thread of the application. It is bound to a processor and does nothing. */
static void *elsewhere(void *argument) {
    CHECK_INT(sched_setaffinity(0, sizeof(cpu_set_t), (cpu_set_t *)argument), 0);
    pthread_mutex_lock(&lock);
    released--;
    pthread_cond_broadcast(&change);
    while (released <= 0) pthread_cond_wait(&change, &lock);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static cpu_set_t only(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return set;
}

/* The n-th processor of a set, or -1. */
static int nth(const cpu_set_t *set, int n) {
    int cpu;
    for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, set) && n-- == 0) return cpu;
    }
    return -1;
}

static void the_sampler_stays_within(const cpu_set_t *allowed, int sampler) {
    cpu_set_t has, both;
    char line[4096];
    CHECK_INT(sched_getaffinity(sampler, sizeof has, &has), 0);
    CPU_AND(&both, &has, allowed);
    thread_status(sampler, "Cpus_allowed_list:", line, sizeof line);
    if (!CPU_EQUAL(&both, &has)) check_failed(__FILE__, __LINE__, "ct-sampler may run on%s, which the application may not", line);
}

/* The main thread is on one processor, another thread on `there`. The sampler may use only these two. */
static void with_a_thread_on(int here, int there) {
    cpu_set_t main_set = only(here), other_set = only(there), both;
    pthread_t thread;
    ct_tracker *tracker;
    int n, sampler;
    CPU_OR(&both, &main_set, &other_set);
    CHECK_INT(sched_setaffinity(0, sizeof main_set, &main_set), 0);
    released = 0;
    CHECK_INT(pthread_create(&thread, NULL, elsewhere, &other_set), 0);
    pthread_mutex_lock(&lock);
    while (released == 0) pthread_cond_wait(&change, &lock);
    pthread_mutex_unlock(&lock);

    tracker = create("sim_cpu=x:10 interval=0.01");
    sampler = sampler_tid();
    for (n = 0; n < 30; n++) {
        the_sampler_stays_within(&both, sampler);
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        sleep_ms(10);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    }
    /* The application's own mask has not changed. */
    CHECK_INT(sched_getaffinity(0, sizeof both, &both), 0);
    CHECK(CPU_EQUAL(&both, &main_set));
    ct_destroy(tracker);

    pthread_mutex_lock(&lock);
    released = 1;
    pthread_cond_broadcast(&change);
    pthread_mutex_unlock(&lock);
    CHECK_INT(pthread_join(thread, NULL), 0);
}

int main(void) {
    cpu_set_t ever;
    ct_tracker *tracker;
    int first, second;
    CHECK_INT(sched_getaffinity(0, sizeof ever, &ever), 0);
    first = nth(&ever, 0);
    second = nth(&ever, 1);

    tracker = create("sim_cpu=x:10 interval=0.01");
    the_sampler_stays_within(&ever, sampler_tid());
    ct_destroy(tracker);

    with_a_thread_on(first, first);
    if (second < 0) {
        puts("skipped: threads on different processors, for there is only one here");
        return 0;
    }
    with_a_thread_on(first, second);
    with_a_thread_on(second, first);
    return 0;
}
