/* The stand-in for NVML with two GPUs of 300 W, in every process that loads it. Loading takes GPUS_DELAY seconds. */
#include "../../common/fake_nvml/standin.c"

#include <stdlib.h>

__attribute__((constructor)) static void plug_in(void)
{
    struct driver two;
    struct gpu all[GPUS];
    int n;
    memset(&two, 0, sizeof two);
    memset(all, 0, sizeof all);
    two.count = 2;
    two.init_delay_s = getenv("GPUS_DELAY") == NULL ? 0 : atof(getenv("GPUS_DELAY"));
    for (n = 0; n < GPUS; n++) {
        all[n].high_w = all[n].low_w = 300;
        all[n].period_s = 1;
        all[n].limit_w = 500;
        all[n].power_step_ns = 101000000;
        all[n].power_window_ns = POWER_WINDOW_NS;
        all[n].power_share = 1;
        all[n].has_counter = 1;
        snprintf(all[n].name, sizeof all[n].name, "NVIDIA Stand-In 500W");
        snprintf(all[n].uuid, sizeof all[n].uuid, "GPU-a%xc0ffee-0000-4000-8000-%012x", (unsigned)n, (unsigned)n);
    }
    standin_set(&two, (const struct gpu *)all, sizeof all);
}
