/* No signal of the application reaches the sampler, and many signals in a short time disturb no call. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

static pid_t application_tid;
static volatile sig_atomic_t handled, strayed;

static void on_signal(int number) {
    (void)number;
    handled = handled + 1;
    if ((pid_t)syscall(SYS_gettid) != application_tid) strayed = strayed + 1;
}

static void handle(int number) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* no SA_RESTART: the library's calls get EINTR */
    CHECK_INT(sigaction(number, &action, NULL), 0);
}

static void await(int count) {
    double deadline = now_s() + AWAIT_S;
    while (handled < count && now_s() < deadline) sleep_ms(1);
    CHECK_INT(handled, count);
}

static void the_sampler_blocks_all(void) {
    char line[64];
    unsigned long long blocked;
    int number;
    thread_status(sampler_tid(), "SigBlk:", line, sizeof line);
    blocked = strtoull(line, NULL, 16);
    for (number = 1; number <= 64; number++) {
        /* SIGKILL and SIGSTOP cannot be blocked; 32 to 34 may be the C library's own. */
        if (number == SIGKILL || number == SIGSTOP || (number >= 32 && number <= 34)) continue;
        if (!(blocked >> (number - 1) & 1)) check_failed(__FILE__, __LINE__, "ct-sampler does not block signal %d: SigBlk %s", number, line);
    }
}

static void signals_run_on_the_application_thread(void) {
    static const int numbers[] = {SIGUSR1, SIGALRM};
    int n;
    handled = 0;
    for (n = 0; n < 200; n++) {
        CHECK_INT(kill(getpid(), numbers[n % 2]), 0);
        await(n + 1);
    }
    CHECK_INT(strayed, 0);
}

static void blocked_signals_wait_for_the_application(void) {
    sigset_t usr1, pending;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    handled = 0;
    CHECK_INT(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
    CHECK_INT(kill(getpid(), SIGUSR1), 0);
    sleep_ms(50);
    CHECK_INT(handled, 0);
    CHECK_INT(sigpending(&pending), 0);
    CHECK_INT(sigismember(&pending, SIGUSR1), 1);
    CHECK_INT(pthread_sigmask(SIG_UNBLOCK, &usr1, NULL), 0);
    await(1);
    CHECK_INT(strayed, 0);
}

static void a_storm(ct_tracker *tracker) {
    struct itimerval storm;
    char text[16384];
    double until = now_s() + 0.5, value = 0.0;
    int epochs = 0, done = (int)value_of(tracker, "/run/epochs_done");
    memset(&storm, 0, sizeof storm);
    storm.it_value.tv_usec = storm.it_interval.tv_usec = 500;
    handled = 0;
    CHECK_INT(setitimer(ITIMER_REAL, &storm, NULL), 0);
    while (now_s() < until || (handled == 0 && now_s() < until + 60.0)) {
        ct_tracker *other = create("sim_cpu=x:10");
        int n;
        for (n = 0; n < 100; n++, epochs++) {
            CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
            CHECK_STATUS(ct_progress(tracker, 1, 2), CT_OK);
            CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
        }
        CHECK_STATUS(ct_value(tracker, "/usage/energy_j", &value), CT_OK);
        CHECK_STATUS(ct_report(tracker, "text", text, sizeof text, NULL), CT_OK);
        ct_destroy(other);
    }
    memset(&storm, 0, sizeof storm);
    CHECK_INT(setitimer(ITIMER_REAL, &storm, NULL), 0);
    CHECK(handled > 0);
    CHECK_INT(strayed, 0);
    CHECK_EPOCHS(tracker, done + epochs);
}

int main(void) {
    sigset_t before, after;
    ct_tracker *tracker;
    int number;
    application_tid = (pid_t)syscall(SYS_gettid);
    handle(SIGUSR1);
    handle(SIGALRM);
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2); /* the application's mask is restored, whatever it is */
    CHECK_INT(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    tracker = create("sim_cpu=x:10 interval=0.001");
    CHECK_INT(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (number = 1; number < 65; number++) CHECK_INT(sigismember(&after, number), sigismember(&before, number));
    /* Under valgrind the kernel has valgrind's masks, not the program's. */
    if (getenv("CT_VALGRIND") == NULL) the_sampler_blocks_all();
    signals_run_on_the_application_thread();
    blocked_signals_wait_for_the_application();
    a_storm(tracker);
    ct_destroy(tracker);
    CHECK_INT(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (number = 1; number < 65; number++) CHECK_INT(sigismember(&after, number), sigismember(&before, number));
    return 0;
}
