/*
 * A process that spawns one more; both track naps at the same time:
 *   spawn OPTIONS
 * The first prints the duration of the naps, the sum of both reports, and the number over both processes.
 */
#include "served.h"

#include <carbontracker_mpi.h>

enum { EPOCHS = 4 };

int main(int argc, char **argv)
{
    ct_tracker *t = NULL;
    MPI_Comm other, both;
    double own = 0, counted, joules = -1, start;
    int is_child, n, missing = -1;
    ct_status status;
    MPI_Init(&argc, &argv);
    MPI_Comm_get_parent(&other);
    is_child = other != MPI_COMM_NULL;
    if (!is_child)
        MPI_Comm_spawn(argv[0], argv + 1, 1, MPI_INFO_NULL, 0, MPI_COMM_SELF, &other, MPI_ERRCODES_IGNORE);
    MPI_Intercomm_merge(other, is_child, &both);
    if (ct_create(argv[1], &t) != CT_OK)
        return 1;
    MPI_Barrier(both);
    start = MPI_Wtime();
    for (n = 0; n < EPOCHS; n++) {
        ct_epoch_begin(t);
        nap(150);
        ct_epoch_end(t);
    }
    start = MPI_Wtime() - start;
    MPI_Barrier(both);
    ct_value(t, "/usage/energy_j", &own);
    MPI_Reduce(&own, &counted, 1, MPI_DOUBLE, MPI_SUM, 0, both);
    status = ct_mpi_value(t, both, "/usage/energy_j", &joules, &missing);
    if (!is_child)
        printf("0 seconds %.17g\n0 counted 0 %.17g 0\n0 /usage/energy_j %d %.17g %d\n", start, counted, (int)status, joules, missing);
    ct_destroy(t);
    MPI_Comm_free(&both);
    MPI_Comm_disconnect(&other);
    MPI_Finalize();
    return 0;
}
