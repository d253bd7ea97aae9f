/*
 * carbontracker over MPI for Fortran: the two functions of carbontracker_mpi.h, with a communicator as Fortran passes
 * it. The handle is an int64_t, which holds any INTEGER. For FORTRAN 77 there is a subroutine with the sums of a run:
 *     CALL CTMGET(COMM, EJ, CO2, PEJ, MISS, IERR)
 * Compile it with your MPI's C compiler:  mpicc -c carbontracker_mpi.c
 */
#include "carbontracker_mpi.h"

int32_t ct_mpi_value_f(ct_tracker *tracker, int64_t comm, const char *pointer, double *out, int *missing);
int32_t ct_mpi_report_f(ct_tracker *tracker, int64_t comm, char *buf, size_t cap, size_t *needed);
/* A function of the library: the tracker that CTINIT made; NULL if there is none. */
ct_tracker *ct_fortran_tracker(void);

int32_t ct_mpi_value_f(ct_tracker *tracker, int64_t comm, const char *pointer, double *out, int *missing)
{
    return ct_mpi_value(tracker, MPI_Comm_f2c((MPI_Fint)comm), pointer, out, missing);
}

int32_t ct_mpi_report_f(ct_tracker *tracker, int64_t comm, char *buf, size_t cap, size_t *needed)
{
    return ct_mpi_report(tracker, MPI_Comm_f2c((MPI_Fint)comm), buf, cap, needed);
}

/* Energy so far (J), its CO2e (g) and the forecast of the whole run (J), over all ranks; -1 if no rank knows the
 * number. `missing`: the number of nodes whose energy is unknown; -1 if no node's energy is known. `status`: of the
 * energy. */
static void ct_mpi_get(MPI_Fint comm, double *joules, double *grams, double *forecast, int32_t *missing, int32_t *status)
{
    const MPI_Comm ranks = MPI_Comm_f2c(comm);
    ct_tracker *tracker = ct_fortran_tracker();
    int nodes = -1;
    *joules = *grams = *forecast = -1;
    *status = ct_mpi_value(tracker, ranks, "/usage/energy_j", joules, &nodes);
    *missing = nodes;
    (void)ct_mpi_value(tracker, ranks, "/usage/co2eq_g", grams, NULL);
    (void)ct_mpi_value(tracker, ranks, "/forecast/energy_j/value", forecast, NULL);
}

/* The names that Fortran compilers use: gfortran, ifort and flang; compilers without underscores; Cray. */
#define CT_MPI_GET(name)                                                                                                        \
    void name(const MPI_Fint *comm, double *joules, double *grams, double *forecast, int32_t *missing, int32_t *status);        \
    void name(const MPI_Fint *comm, double *joules, double *grams, double *forecast, int32_t *missing, int32_t *status)         \
    {                                                                                                                           \
        ct_mpi_get(*comm, joules, grams, forecast, missing, status);                                                            \
    }
CT_MPI_GET(ctmget_)
CT_MPI_GET(ctmget)
CT_MPI_GET(CTMGET)
