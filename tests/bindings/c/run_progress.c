/* A run that is measured by its progress: no epochs, steps of simulated time, and numbers that are no progress. */
#include "check.h"

#include <math.h>

#define STEPS 200

static void refused(ct_tracker *tracker) {
    const double bad[][2] = {{NAN, 1.0},      {1.0, NAN},       {INFINITY, 1.0}, {1.0, INFINITY},
                             {-1.0, 1.0},     {1.0, 0.0},       {1.0, -1.0},     {-INFINITY, 1.0}};
    size_t n;
    for (n = 0; n < sizeof bad / sizeof *bad; n++) {
        CHECK_STATUS(ct_run_progress(tracker, bad[n][0], bad[n][1]), CT_EINVAL);
        CHECK_HAS(ct_last_error(), "ct_run_progress: done is below 0");
    }
}

int main(void) {
    ct_tracker *tracker = create("sim_cpu=x:100 components=cpu");
    double began, took, used;
    char *text;
    int step;
    refused(tracker);
    began = now_s();
    for (step = 0; step <= STEPS; step++) {
        CHECK_STATUS(ct_run_progress(tracker, 0.5 * step, 0.5 * STEPS), CT_OK);
        if (step < STEPS) sleep_ms(2);
        if (step == STEPS / 2) {
            CHECK_STATUS(ct_run_progress(tracker, 1.0, 0.5 * STEPS), CT_OK); /* ignored */
            used = value_of(tracker, "/usage/energy_j");
            CHECK_BETWEEN(used, 15.0, 101.0 * (now_s() - began));
            CHECK_BETWEEN(value_of(tracker, "/run/work/done"), 50.0, 50.0);
            CHECK_BETWEEN(value_of(tracker, "/forecast/after_share"), 0.5, 0.5);
            CHECK_BETWEEN(value_of(tracker, "/forecast/energy_j/value"), 1.2 * used, 3.0 * used);
            text = report_of(tracker, "text");
            CHECK_HAS(text, "forecast of the whole run after 50 %, 90 % intervals:");
            free(text);
        }
    }
    took = now_s() - began;
    CHECK_BETWEEN(value_of(tracker, "/usage/duration_s"), 0.002 * STEPS, took);
    CHECK_BETWEEN(value_of(tracker, "/usage/energy_j"), 0.2 * STEPS, 101.0 * took);
    text = report_of(tracker, "json");
    CHECK_HAS(text, "ct_run_progress was refused 8 times");
    CHECK_HAS(text, "ct_run_progress was refused once: done was less than before");
    CHECK_HAS(text, "\"basis\":\"progress\"");
    free(text);
    ct_destroy(tracker);
    return 0;
}
