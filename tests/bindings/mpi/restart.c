/*
 * A run that is killed and starts again, with the loop of bindings/mpi/README.md. The test writes the loop to loop.inc:
 *   restart OPTIONS RANK EPOCHS
 * RANK is killed after it has ended EPOCHS epochs of the run, while all others are in the last of them; -1: no rank is.
 */
#include "served.h"

#include <carbontracker_mpi.h>

#include <signal.h>
#include <stdlib.h>

static ct_tracker *t;
static int me, killed, after;

static void print(const char *what)
{
    printf("%s\n", what); /* one write for each line: ranks share standard output */
    fflush(stdout);
}

static void advance(MPI_Comm comm, int epoch)
{
    static int has_begun;
    char text[128];
    double own = -1;
    if (!has_begun) {
        has_begun = 1;
        ct_value(t, "/run/epochs_done", &own);
        snprintf(text, sizeof text, "rank %d begins with %d, has %g", me, epoch, own);
        print(text);
    }
    if (me == killed && epoch == after) {
        nap(50);
        raise(SIGKILL);
    }
    MPI_Barrier(comm);
    nap(100);
    if (killed >= 0 && me != killed && epoch == after - 1)
        nap(60000); /* the launcher ends it here */
}

int main(int argc, char **argv)
{
    const int epochs = 8;
    const MPI_Comm comm = MPI_COMM_WORLD;
    double own = -1, least = -1;
    int missing = -1;
    char text[128];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(comm, &me);
    killed = atoi(argv[2]);
    after = atoi(argv[3]);
    if (ct_create(argv[1], &t) != CT_OK)
        return 1;
#include "loop.inc"
    ct_value(t, "/run/epochs_done", &own);
    if (ct_mpi_value(t, comm, "/run/epochs_done", &least, &missing) != CT_OK || missing != 0)
        return 1;
    snprintf(text, sizeof text, "rank %d ends, has %g of %d, the run %g", me, own, epochs, least);
    print(text);
    ct_destroy(t);
    MPI_Finalize();
    return 0;
}
