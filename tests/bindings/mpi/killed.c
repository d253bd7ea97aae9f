/*
 * The first rank is killed in the middle. The others make no further MPI call, as after a node's failure:
 *   killed OPTIONS FOLDER
 * Each of them writes the energy and time of its own report to FOLDER/RANK.
 */
#include "served.h"

#include <carbontracker.h>
#include <mpi.h>

#include <signal.h>

int main(int argc, char **argv)
{
    double joules = 0, seconds = 0;
    ct_tracker *t = NULL;
    ct_status status;
    char fresh[512], path[512];
    FILE *file;
    int me;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    /* The first rank counts the devices, because it starts first. */
    if (me == 0 && ct_create(argv[1], &t) != CT_OK)
        return 1;
    MPI_Barrier(MPI_COMM_WORLD);
    if (me != 0 && ct_create(argv[1], &t) != CT_OK)
        return 1;
    MPI_Barrier(MPI_COMM_WORLD);
    ct_epoch_begin(t);
    nap(300);
    if (me == 0)
        raise(SIGKILL);
    ct_epoch_end(t);
    ct_epoch_begin(t);
    nap(700);
    ct_epoch_end(t);
    status = ct_value(t, "/usage/energy_j", &joules);
    ct_value(t, "/usage/duration_s", &seconds);
    snprintf(fresh, sizeof fresh, "%s/.%d", argv[2], me);
    snprintf(path, sizeof path, "%s/%d", argv[2], me);
    file = fopen(fresh, "w");
    if (file == NULL || fprintf(file, "%d %.17g %.17g\n", (int)status, joules, seconds) < 0 || fclose(file) != 0)
        return 1;
    rename(fresh, path);
    ct_destroy(t);
    _exit(0);
}
