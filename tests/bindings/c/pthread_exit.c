/* The main thread ends by pthread_exit with a live tracker. The process ends with the program's last own thread. */
#include "check.h"

#include <pthread.h>

static void *work(void *unused) {
    (void)unused;
    sleep_ms(50);
    return NULL;
}

static void run(void) {
    static ct_tracker *tracker; /* static: the pointer stays reachable, so valgrind finds no leak */
    pthread_t thread;
    tracker = create("sim_cpu=x:10 interval=3600");
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_INT(pthread_create(&thread, NULL, work, NULL), 0);
    CHECK_INT(pthread_detach(thread), 0);
    pthread_exit(NULL);
}

int main(void) {
    const double start = now_s();
    int status = 0;
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) run();
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (now_s() - start > 60.0) {
            (void)kill(child, SIGKILL);
            CHECK(!"the process outlives its own threads");
        }
        sleep_ms(5);
    }
    CHECK(WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    return 0;
}
