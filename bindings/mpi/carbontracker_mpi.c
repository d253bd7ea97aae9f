/*
 * carbontracker over MPI for Fortran: the two functions of carbontracker_mpi.h with Fortran's handle of a communicator,
 * as a number wide enough for any INTEGER.
 * Compile it with your MPI's C compiler beside carbontracker_mpi.f90:  mpicc -c carbontracker_mpi.c
 */
#include "carbontracker_mpi.h"

int32_t ct_mpi_value_f(ct_tracker *tracker, int64_t comm, const char *pointer, double *out, int *missing);
int32_t ct_mpi_report_f(ct_tracker *tracker, int64_t comm, char *buf, size_t cap, size_t *needed);

int32_t ct_mpi_value_f(ct_tracker *tracker, int64_t comm, const char *pointer, double *out, int *missing)
{
    return ct_mpi_value(tracker, MPI_Comm_f2c((MPI_Fint)comm), pointer, out, missing);
}

int32_t ct_mpi_report_f(ct_tracker *tracker, int64_t comm, char *buf, size_t cap, size_t *needed)
{
    return ct_mpi_report(tracker, MPI_Comm_f2c((MPI_Fint)comm), buf, cap, needed);
}
