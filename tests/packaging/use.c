/* Prints the version and the power of a simulated device of 100 W. */
#include <carbontracker.h>
#include <stdio.h>
#include <time.h>

int main(void)
{
    ct_tracker *t = NULL;
    double joules = 0, seconds = 1;
    struct timespec while_training = {0, 30000000};
    ct_create("sim_cpu=x:100 components=cpu", &t);
    ct_epoch_begin(t);
    nanosleep(&while_training, NULL);
    ct_epoch_end(t);
    ct_value(t, "/usage/energy_j", &joules);
    ct_value(t, "/usage/duration_s", &seconds);
    printf("%s %.1f W\n", ct_version(), joules / seconds);
    ct_destroy(t);
    return 0;
}
