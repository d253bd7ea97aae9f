/* With any amount of free memory, ct_create and ct_report succeed or fail with CT_EIO, and the application
   continues. */
#include "check.h"

#include <malloc.h>
#include <sys/resource.h>

static long virtual_kb(void) {
    FILE *statm = fopen("/proc/self/statm", "r");
    long pages = 0;
    CHECK(statm != NULL);
    CHECK_INT(fscanf(statm, "%ld", &pages), 1);
    fclose(statm);
    return pages * 4;
}

enum { TRACKED = 0, REFUSED = 2 }; /* 1: a check failed */

static void limit_to(long spare_kb) {
    struct rlimit limit;
    limit.rlim_cur = limit.rlim_max = (rlim_t)(virtual_kb() + spare_kb) * 1024;
    CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
}

static int track_within(long spare_kb) {
    ct_tracker *tracker = NULL;
    ct_status status;
    limit_to(spare_kb);
    status = ct_create("sim_cpu=x:1", &tracker);
    if (status != CT_OK) {
        CHECK_STATUS(status, CT_EIO);
        CHECK(tracker == NULL && strstr(ct_last_error(), "ulimit -v") != NULL);
        return REFUSED;
    }
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    ct_destroy(tracker);
    return TRACKED;
}

/* The largest possible reports: they have as many epochs as the library keeps. */
static int report_within(long spare_kb) {
    static const char *const formats[] = {"text", "json", "csv", "prometheus", "html"};
    static char report[4 << 20];
    ct_tracker *tracker = create("epochs=5000 sim_cpu=x:10 sim_gpu=y:10 intensity=50");
    int n, refused = 0;
    for (n = 0; n < 4000; n++) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    }
    CHECK_EPOCHS(tracker, 4000);
    limit_to(spare_kb);
    for (n = 0; n < (int)(sizeof formats / sizeof *formats); n++) {
        ct_status status = ct_report(tracker, formats[n], report, sizeof report, NULL);
        CHECK(status == CT_OK || status == CT_EIO);
        refused += status == CT_EIO;
    }
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    ct_destroy(tracker);
    return refused > 0 ? REFUSED : TRACKED;
}

/* Each case is a child process, because a limit cannot be raised again. Both outcomes occur. */
static void within(int (*work)(long spare_kb), long most_kb, long step_kb) {
    int done = 0, refused = 0;
    long spare;
    for (spare = 0; spare <= most_kb; spare += step_kb) {
        int status = 0;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) _exit(work(spare));
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == TRACKED || WEXITSTATUS(status) == REFUSED));
        if (WEXITSTATUS(status) == TRACKED) {
            done++;
        } else {
            refused++;
        }
    }
    CHECK(done > 0 && refused > 0);
}

int main(void) {
    /* Each thread's arena reserves 64 MB of address space, in which a report would always find room. */
    (void)mallopt(M_ARENA_MAX, 1);
    within(track_within, 16000, 400);
    within(report_within, 32000, 4000);
    return 0;
}
