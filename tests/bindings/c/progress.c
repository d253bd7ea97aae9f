/* A forecast inside the first epoch, from calls of ct_epoch_progress, and the energy that an early stop saves. */
#include "check.h"

#define BATCHES 20
#define WATTS 100.0

int main(void) {
    int epoch, batch;
    double value = 42.0, total, began, took, first, second;
    char *text;
    ct_tracker *tracker = create("epochs=5 sim_cpu=x:100 components=cpu");
    CHECK_STATUS(ct_value(tracker, "/forecast/energy_j/value", &value), CT_ENOENT);
    began = now_s();
    for (epoch = 0; epoch < 2; epoch++) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        for (batch = 1; batch <= BATCHES; batch++) {
            sleep_ms(epoch == 0 && batch <= 5 ? 50 : 10); /* the first quarter takes five times as long */
            CHECK_STATUS(ct_progress(tracker, (uint64_t)batch, BATCHES), CT_OK);
            took = now_s() - began;
            if (epoch == 0 && batch == 1) {
                /* 5 % are done, slowly. */
                CHECK_BETWEEN(value_of(tracker, "/forecast/after_epochs"), 0.0, 0.0);
                total = value_of(tracker, "/forecast/energy_j/value");
                CHECK_BETWEEN(total, 490.0, 1.02 * WATTS * 5.0 * BATCHES * took);
                CHECK_BETWEEN(value_of(tracker, "/forecast/energy_j/low"), 1.0, 0.4 * total);
                text = report_of(tracker, "text");
                CHECK_HAS(text, "forecast of all 5 epochs from inside the first, 90 % intervals");
                free(text);
            }
            if (epoch == 0 && batch == BATCHES / 2) {
                /* At most as slow as until now. */
                total = value_of(tracker, "/forecast/duration_s/value");
                CHECK_BETWEEN(total, 0.3, 1.02 * 10.0 * took);
                CHECK_BETWEEN(value_of(tracker, "/forecast/energy_j/value"), 30.0, 1.02 * WATTS * 10.0 * took);
                /* What is used of the open epoch is no longer to come. */
                CHECK_BETWEEN(value_of(tracker, "/forecast/remaining/duration_s/value"), total - (now_s() - began) - 0.05, total - 0.2);
            }
        }
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    }
    CHECK_EPOCHS(tracker, 2);
    CHECK_BETWEEN(value_of(tracker, "/forecast/after_epochs"), 2.0, 2.0);
    total = value_of(tracker, "/forecast/energy_j/value");
    value = value_of(tracker, "/usage/energy_j");
    /* The other three are between the shortest and the longest so far. */
    first = value_of(tracker, "/epochs/0/energy_j");
    second = value_of(tracker, "/epochs/1/energy_j");
    CHECK_BETWEEN(total, value + 2.9 * (first < second ? first : second), value + 3.1 * (first < second ? second : first));
    CHECK_BETWEEN(value_of(tracker, "/forecast/remaining/energy_j/value"), total - value - 1e-6, total - value + 1e-6);
    CHECK(value_of(tracker, "/forecast/remaining/duration_s/low") < value_of(tracker, "/forecast/remaining/duration_s/high"));
    CHECK(value_of(tracker, "/forecast/remaining/co2eq_g/value") > 0.0);
    text = report_of(tracker, "text");
    CHECK_HAS(text, "still to come; a stop now saves it");
    free(text);
    ct_destroy(tracker);
    return 0;
}
