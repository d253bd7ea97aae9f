/*
 * Ranks that track a run of naps. The arguments select each rank's part:
 *   ranks OPTIONS [late=RANK] [never=RANK] [early=RANK] [tail=RANK] [disabled=RANK] [nap MS] [split OPTIONS] [whole] [checks]
 * The first rank prints a line for each fact: the run, a name, numbers. `split`: the odd ranks are another run,
 * whose options are the next argument. `whole`: also both runs together. `checks`: also all wrong calls.
 */
#include "served.h"

#include <carbontracker_mpi.h>

#include <stdlib.h>

enum { EPOCHS = 4, MOST = 64 };

static int me, size;

static void fail(const char *what)
{
    fprintf(stderr, "rank %d: %s\n", me, what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Whether an argument gives this part to this rank. */
static int is_my_part(int argc, char **argv, const char *part)
{
    int n;
    const size_t length = strlen(part);
    for (n = 2; n < argc; n++)
        if (strncmp(argv[n], part, length) == 0 && argv[n][length] == '=' && atoi(argv[n] + length + 1) == me)
            return 1;
    return 0;
}

/* The argument after a word; "" at the end of the arguments. NULL: the word is not there. */
static const char *given(int argc, char **argv, const char *word)
{
    int n;
    for (n = 2; n < argc; n++)
        if (strcmp(argv[n], word) == 0)
            return n + 1 < argc ? argv[n + 1] : "";
    return NULL;
}

/* A number of the run, which must be the same on all ranks: its status, the value, and how many nodes lack it. */
static ct_status number(ct_tracker *t, MPI_Comm comm, const char *pointer, double *x, int *missing)
{
    double mine[3], all[3 * MOST];
    int n, ranks;
    *x = -1;
    *missing = -1;
    mine[0] = (double)ct_mpi_value(t, comm, pointer, x, missing);
    mine[1] = *x;
    mine[2] = *missing;
    MPI_Comm_size(comm, &ranks);
    MPI_Allgather(mine, 3, MPI_DOUBLE, all, 3, MPI_DOUBLE, comm);
    for (n = 1; n < ranks; n++)
        if (memcmp(all, all + 3 * n, sizeof mine) != 0)
            fail("ranks got different numbers");
    return (ct_status)(int)mine[0];
}

static void print_number(ct_tracker *t, MPI_Comm comm, int run, const char *pointer)
{
    double x;
    int missing, rank;
    const ct_status status = number(t, comm, pointer, &x, &missing);
    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        printf("%d %s %d %.17g %d\n", run, pointer, (int)status, x, missing);
}

/* The sum of the ranks' own reports. */
static void print_counted(ct_tracker *t, MPI_Comm comm, int run)
{
    double own = 0, all = 0;
    int rank;
    ct_value(t, "/usage/energy_j", &own);
    MPI_Comm_rank(comm, &rank);
    MPI_Reduce(&own, &all, 1, MPI_DOUBLE, MPI_SUM, 0, comm);
    if (rank == 0)
        printf("%d counted 0 %.17g 0\n", run, all);
}

static void want(ct_status actual, ct_status expected, const char *what)
{
    char text[128];
    snprintf(text, sizeof text, "%s is %d, not %d", what, (int)actual, (int)expected);
    if (actual != expected)
        fail(text);
}

static void check_arguments(ct_tracker *t, MPI_Comm comm)
{
    static const char *const refused[] = {"/usage/coverage", "/intensity/g_per_kwh", "/components/0/energy_j", "/run/epochs_planned",
                                          "/components/0/mean_power_w", "/forecast/level", "/usage", "/", "", "energy_j", "/a/value",
                                          "/phases/rows/0/energy_j", "/phases/rows/0/entries", "/phases/rows/length",
                                          "/phases/rows/step/share", "/phases/rows/step", "/entries"};
    double x = -1;
    int missing = -1;
    size_t n;
    for (n = 0; n < sizeof refused / sizeof *refused; n++)
        want(ct_mpi_value(t, comm, refused[n], &x, &missing), CT_EINVAL, refused[n]);
    want(ct_mpi_value(t, comm, NULL, &x, NULL), CT_EINVAL, "a NULL pointer");
    want(ct_mpi_value(t, comm, "/usage/energy_j", NULL, NULL), CT_EINVAL, "nowhere to put it");
    want(ct_mpi_value(t, comm, me == 0 ? "/usage/energy_j" : "/usage", &x, NULL), size > 1 ? CT_EINVAL : CT_OK, "ranks that disagree");
    want(ct_mpi_value(t, comm, "/usage/nothing_j", &x, &missing), CT_EINVAL, "a number that is nowhere");
    want(ct_mpi_value(NULL, comm, "/usage/energy_j", &x, &missing), CT_DISABLED, "no tracker anywhere");
    want(ct_mpi_value(NULL, comm, "/run/epochs_done", &x, &missing), CT_DISABLED, "epochs of no tracker");
    if (size > 1 && (x != -1 || missing != -1))
        fail("a failure wrote a number");
}

/* No call leaks an MPI object, whose number is limited. */
static void check_leaks(MPI_Comm comm)
{
    double x;
    int n;
    for (n = 0; n < (size > 1 ? 3 : 2100); n++) /* with more ranks than cores each call takes milliseconds */
        want(ct_mpi_value(NULL, comm, "/usage/energy_j", &x, NULL), CT_DISABLED, "one of many calls");
}

static void check_errors(ct_tracker *t)
{
    double x;
    size_t needed = 0;
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    want(ct_mpi_value(t, MPI_COMM_NULL, "/usage/energy_j", &x, NULL), CT_EIO, "no communicator");
    want(ct_mpi_report(t, MPI_COMM_NULL, NULL, 0, &needed), CT_EIO, "no communicator for a report");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_ARE_FATAL);
}

static void check_report(ct_tracker *t, MPI_Comm comm)
{
    char text[4096] = "untouched", *exact;
    size_t needed = 0, again = 0;
    int rank;
    MPI_Comm_rank(comm, &rank);
    want(ct_mpi_report(t, comm, NULL, 0, &needed), CT_ERANGE, "no buffer");
    want(ct_mpi_report(t, comm, text, rank == 0 ? 10 : sizeof text, NULL), CT_ERANGE, "a small buffer");
    if (rank == 0 ? strlen(text) != 9 || strncmp(text, "run of ", 7) != 0 : strcmp(text, "untouched") != 0)
        fail("a small buffer holds what fits, at rank 0 alone");
    exact = (char *)malloc(needed + 64);
    want(ct_mpi_report(t, comm, exact, needed + 64, &again), CT_OK, "a report");
    if (rank == 0 && again != strlen(exact) + 1)
        fail("needed is the text's length and one");
    if (rank == 0)
        printf("%s", exact);
    free(exact);
    want(ct_mpi_report(NULL, comm, text, sizeof text, &needed), CT_DISABLED, "a report of no tracker");
    if (needed != 1 || (rank == 0 && text[0] != '\0'))
        fail("a report without a tracker is empty");
}

/* The node's clock, s. Open MPI's MPI_Wtime starts anew in each process. */
static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Tracks the run's naps, if this rank does. Returns the duration of all of them. */
static double run(int argc, char **argv, const char *options, MPI_Comm comm, ct_tracker **t)
{
    const int is_late = is_my_part(argc, argv, "late"), is_early = is_my_part(argc, argv, "early");
    const char *ms = given(argc, argv, "nap");
    double span[2] = {-1e300, -1e300}; /* the negative of the begin, and the end */
    int n;
    for (n = 0; n < EPOCHS; n++) {
        if (n == is_late && !is_my_part(argc, argv, "never") && ct_create(options, t) < 0)
            fail(ct_last_error());
        MPI_Barrier(comm);
        if (is_early && n > 0)
            continue;
        if (n == 0 && me > 0)
            nap(20); /* the first rank comes first */
        if (n == 0)
            span[0] = -now_s();
        ct_epoch_begin(*t);
        ct_phase_begin(*t, me % 2 ? "odd" : "even");
        ct_phase_end(*t);
        ct_phase_begin(*t, "step");
        ct_phase_begin(*t, "work");
        nap(ms == NULL ? 150 : atoi(ms));
        ct_phase_end(*t);
        ct_phase_end(*t);
        if (n == EPOCHS - 1 && is_my_part(argc, argv, "tail"))
            nap(400);
        ct_epoch_end(*t);
        span[1] = now_s();
    }
    MPI_Allreduce(MPI_IN_PLACE, span, 2, MPI_DOUBLE, MPI_MAX, comm);
    return span[0] + span[1];
}

int main(int argc, char **argv)
{
    static const char *const pointers[] = {"/usage/energy_j", "/usage/duration_s", "/usage/co2eq_g", "/usage/facility_energy_kwh",
                                           "/epochs/1/cpu_j", "/epochs/1/gpu_j", "/forecast/energy_j/high",
                                           "/forecast/remaining/energy_j/high", "/run/epochs_done",
                                           "/phases/rows/step~1work/energy_j", "/phases/rows/step~1work/duration_s",
                                           "/phases/rows/step~1work/entries", "/phases/rows/even/entries",
                                           "/phases/rows/never/energy_j"};
    const char *options = argv[1];
    double seconds;
    ct_tracker *t = NULL;
    MPI_Comm comm = MPI_COMM_WORLD;
    int rank, color = 0;
    size_t n;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &me);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (is_my_part(argc, argv, "disabled"))
        putenv((char *)"CARBONTRACKER_DISABLE=1");
    if (given(argc, argv, "split") != NULL) {
        color = me % 2;
        MPI_Comm_split(MPI_COMM_WORLD, color, 0, &comm);
        options = color ? given(argc, argv, "split") : options;
    }
    MPI_Comm_rank(comm, &rank);
    seconds = run(argc, argv, options, comm, &t);
    if (rank == 0)
        printf("%d seconds %.17g\n", color, seconds);
    for (n = 0; n < sizeof pointers / sizeof *pointers; n++)
        print_number(t, comm, color, pointers[n]);
    print_counted(t, comm, color);
    if (given(argc, argv, "whole") != NULL) {
        print_number(t, MPI_COMM_WORLD, 2, "/usage/energy_j");
        check_report(t, MPI_COMM_WORLD);
    }
    if (given(argc, argv, "checks") != NULL) {
        check_arguments(t, comm);
        check_leaks(comm);
        check_errors(t);
    }
    ct_destroy(t);
    MPI_Finalize();
    return 0;
}
