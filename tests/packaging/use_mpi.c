/* carbontracker_mpi.h needs only the include folder and the user's own MPI. */
#include <carbontracker_mpi.h>

int main(int argc, char **argv)
{
    double joules;
    int missing;
    MPI_Init(&argc, &argv);
    ct_mpi_value(NULL, MPI_COMM_WORLD, "/usage/energy_j", &joules, &missing);
    return MPI_Finalize();
}
