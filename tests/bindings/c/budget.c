/* CT_OVER_BUDGET: the epoch ends nevertheless, one message reports it, and short epochs do not avoid it. */
#include "check.h"

/* Ends epochs of `us` microseconds until one is over budget; the deadline is generous, for busy machines. */
static long epochs_until_over_budget(ct_tracker *tracker, double us) {
    double deadline = now_s() + AWAIT_S;
    long epochs = 0;
    ct_status status = CT_OK;
    while (status == CT_OK && now_s() < deadline) {
        double until = now_s() + us * 1e-6;
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        while (now_s() < until) {
        }
        status = ct_epoch_end(tracker);
        epochs++;
    }
    if (status == CT_OK) check_failed(__FILE__, __LINE__, "%ld epochs of %g us, none over budget", epochs, us);
    CHECK_STATUS(status, CT_OVER_BUDGET);
    return epochs;
}

static void passed(const char *options, const char *budget, double us) {
    ct_tracker *tracker = create(options);
    long epochs = epochs_until_over_budget(tracker, us);
    char message[4096];
    int reported = 0;
    CHECK_EPOCHS(tracker, epochs);
    while (ct_message(tracker, message, sizeof message, NULL) == CT_OK) {
        if (strncmp(message, budget, strlen(budget)) == 0) reported++;
    }
    CHECK_INT(reported, 1);
    CHECK_TEXT(ct_last_error(), "no message is queued"); /* over budget is no failure */
    ct_destroy(tracker);
}

static void kept(void) {
    ct_tracker *tracker = create("epochs=3 sim_cpu=x:10 budget_kwh=1000 budget_g=1e9 budget_h=1000");
    int n;
    for (n = 0; n < 3; n++) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        sleep_ms(5);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
        (void)value_of(tracker, "/usage/energy_j");
    }
    ct_destroy(tracker);
}

int main(void) {
    kept();
    passed("epochs=100 sim_cpu=x:100 budget_kwh=1e-6", "budget_kwh", 20000.0);
    passed("epochs=100 sim_cpu=x:100 budget_g=1e-3", "budget_g", 20000.0);
    passed("epochs=1000000 sim_cpu=x:100 budget_h=0.001", "budget_h", 20000.0);
    /* The epochs are shorter than a reading and follow each other without a pause. */
    passed("epochs=1000000000 sim_cpu=x:100 budget_h=1e-6", "budget_h", 10.0);
    passed("epochs=1000000000 sim_cpu=x:100 budget_h=1e-6", "budget_h", 0.0);
    return 0;
}
