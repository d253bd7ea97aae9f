/* A signal handler calls exit at any instant: within malloc, or within a call of the library. The exit must not need
   malloc's lock. */
#include "check.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>

enum { CHILDREN = 20, AT_ONCE = 5, PATIENCE_S = 60 };

static ct_tracker *tracker;
static char report[1 << 16];

static void leave(int number) {
    (void)number;
    exit(0);
}

/* Arranges one call of the handler after this time. */
static void leave_after(long us) {
    struct sigaction action;
    struct itimerval timer;
    memset(&action, 0, sizeof action);
    memset(&timer, 0, sizeof timer);
    action.sa_handler = leave;
    CHECK_INT(sigaction(SIGALRM, &action, NULL), 0);
    timer.it_value.tv_usec = us;
    CHECK_INT(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* Allocates more small blocks than a thread's own cache holds. So malloc takes its lock for most of them. */
static void allocate(void) {
    static void *volatile blocks[2000];
    size_t n;
    for (n = 0; n < sizeof blocks / sizeof *blocks; n++) {
        blocks[n] = malloc(1 + n * 997 % 400);
        CHECK(blocks[n] != NULL);
    }
    for (n = 0; n < sizeof blocks / sizeof *blocks; n++) free(blocks[n]);
}

static void in_the_child(unsigned seed) {
    CHECK_INT(prctl(PR_SET_PDEATHSIG, SIGKILL), 0); /* if a child hangs, the others end with this program */
    srand(seed);
    tracker = create("sim_cpu=x:10 interval=0.001 job=off");
    leave_after(1000 + rand() % 100000);
    for (;;) {
        (void)ct_epoch_begin(tracker);
        allocate();
        (void)ct_epoch_end(tracker);
        (void)ct_report(tracker, "json", report, sizeof report, NULL);
    }
}

static void check_ends(pid_t child, int which, double deadline) {
    int status = 0;
    pid_t waited;
    while ((waited = waitpid(child, &status, WNOHANG)) == 0 && now_s() < deadline) sleep_ms(5);
    if (waited == 0) {
        check_failed(__FILE__, __LINE__, "child %d has not ended within %d s", which, PATIENCE_S);
    }
    CHECK_INT(waited, child);
    if (WIFSIGNALED(status)) check_failed(__FILE__, __LINE__, "child %d was killed by signal %d", which, WTERMSIG(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

int main(void) {
    int children = getenv("CT_VALGRIND") == NULL ? CHILDREN : 3, first, n;
    for (first = 0; first < children; first += AT_ONCE) {
        pid_t started[AT_ONCE];
        int count = children - first < AT_ONCE ? children - first : AT_ONCE;
        double deadline = now_s() + (double)PATIENCE_S;
        for (n = 0; n < count; n++) {
            started[n] = fork();
            CHECK(started[n] >= 0);
            if (started[n] == 0) in_the_child((unsigned)(first + n + 1));
        }
        for (n = 0; n < count; n++) check_ends(started[n], first + n, deadline);
    }
    return 0;
}
