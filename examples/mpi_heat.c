/* Heat spreads over a plate, which the MPI ranks share in blocks. An epoch is 200 Jacobi sweeps.
 *   mpicc -std=c99 -O2 mpi_heat.c $(pkg-config --cflags --libs carbontracker) -o mpi_heat && mpirun -n 4 ./mpi_heat */

#include <carbontracker_mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { EPOCHS = 10, SWEEPS = 200, N = 480 }; /* N x N points inside the edge of the plate */

/* The block of this rank, with a frame around it: points of the neighbours, or the edge of the plate. */
struct block {
    int rows, columns, first_row, first_column;
    int up, down, left, right; /* the ranks of the neighbours; MPI_PROC_NULL at the edge */
    double *now, *next;
};

static double *at(const struct block *b, double *points, int row, int column)
{
    return points + (size_t)row * (size_t)(b->columns + 2) + column;
}

/* The first point of part n, if N points are divided into `parts` equal parts. */
static int part(int n, int parts)
{
    return (int)((long)N * n / parts);
}

static int make(struct block *b, MPI_Comm plate)
{
    int sides[2], periodic[2], place[2];
    MPI_Cart_get(plate, 2, sides, periodic, place);
    MPI_Cart_shift(plate, 0, 1, &b->up, &b->down);
    MPI_Cart_shift(plate, 1, 1, &b->left, &b->right);
    b->first_row = part(place[0], sides[0]);
    b->first_column = part(place[1], sides[1]);
    b->rows = part(place[0] + 1, sides[0]) - b->first_row;
    b->columns = part(place[1] + 1, sides[1]) - b->first_column;
    b->now = calloc((size_t)(b->rows + 2) * (size_t)(b->columns + 2), sizeof(double));
    b->next = calloc((size_t)(b->rows + 2) * (size_t)(b->columns + 2), sizeof(double));
    if (b->now == NULL || b->next == NULL)
        return 0;
    if (b->up == MPI_PROC_NULL) /* the upper edge is hot */
        for (int column = 0; column < b->columns + 2; column++)
            *at(b, b->now, 0, column) = *at(b, b->next, 0, column) = 100;
    return 1;
}

/* Exchanges the outer rows and columns with the neighbours. */
static void exchange(struct block *b, MPI_Comm plate, MPI_Datatype column)
{
    double *p = b->now;
    MPI_Sendrecv(at(b, p, 1, 1), b->columns, MPI_DOUBLE, b->up, 0, at(b, p, b->rows + 1, 1), b->columns, MPI_DOUBLE, b->down, 0,
                 plate, MPI_STATUS_IGNORE);
    MPI_Sendrecv(at(b, p, b->rows, 1), b->columns, MPI_DOUBLE, b->down, 1, at(b, p, 0, 1), b->columns, MPI_DOUBLE, b->up, 1, plate,
                 MPI_STATUS_IGNORE);
    MPI_Sendrecv(at(b, p, 1, 1), 1, column, b->left, 2, at(b, p, 1, b->columns + 1), 1, column, b->right, 2, plate,
                 MPI_STATUS_IGNORE);
    MPI_Sendrecv(at(b, p, 1, b->columns), 1, column, b->right, 3, at(b, p, 1, 0), 1, column, b->left, 3, plate, MPI_STATUS_IGNORE);
}

static void sweep(struct block *b)
{
    double *swap = b->now;
    for (int row = 1; row <= b->rows; row++)
        for (int column = 1; column <= b->columns; column++)
            *at(b, b->next, row, column) = 0.25 * (*at(b, b->now, row - 1, column) + *at(b, b->now, row + 1, column) +
                                                   *at(b, b->now, row, column - 1) + *at(b, b->now, row, column + 1));
    b->now = b->next;
    b->next = swap;
}

/* The temperature at a point of the plate, on any rank. */
static double temperature(struct block *b, MPI_Comm plate, int row, int column)
{
    const int r = row - b->first_row, c = column - b->first_column;
    double own = 0, found;
    if (r >= 0 && r < b->rows && c >= 0 && c < b->columns)
        own = *at(b, b->now, r + 1, c + 1);
    MPI_Allreduce(&own, &found, 1, MPI_DOUBLE, MPI_SUM, plate);
    return found;
}

int main(int argc, char **argv)
{
    int me, ranks, missing, sides[2] = {0, 0}, periodic[2] = {0, 0};
    double joules, warmth;
    char text[8192];
    ct_tracker *t = NULL; /* a NULL tracker is disabled, and takes part in collective calls */
    struct block block;
    MPI_Comm plate;
    MPI_Datatype column;

    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Dims_create(ranks, 2, sides);
    MPI_Cart_create(MPI_COMM_WORLD, 2, sides, periodic, 1, &plate);
    MPI_Comm_rank(plate, &me);
    if (!make(&block, plate))
        MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Type_vector(block.rows, 1, block.columns + 2, MPI_DOUBLE, &column);
    MPI_Type_commit(&column);

    if (ct_create("epochs=10 name=heat location=DK", &t) < 0)
        fprintf(stderr, "rank %d is not tracked: %s\n", me, ct_last_error());

    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        ct_epoch_begin(t);
        for (int k = 0; k < SWEEPS; k++) {
            ct_phase_begin(t, "exchange");
            exchange(&block, plate, column);
            ct_phase_end(t);
            ct_phase_begin(t, "sweep");
            sweep(&block);
            ct_phase_end(t);
        }
        ct_epoch_end(t);
        if (epoch == 2 && ct_mpi_value(t, plate, "/forecast/energy_j/value", &joules, &missing) == CT_OK && me == 0)
            printf("The whole run will take %.0f J%s.\n", joules, missing ? ", without the nodes that cannot be measured" : "");
    }
    warmth = temperature(&block, plate, N / 16, N / 2);
    if (me == 0)
        printf("Temperature near the hot edge: %.6f\n\n", warmth);

    if (ct_mpi_value(t, plate, "/phases/rows/exchange/energy_j", &joules, &missing) == CT_OK && me == 0)
        printf("The exchange between the ranks took %.1f J.\n", joules);
    if (ct_mpi_report(t, plate, text, sizeof text, NULL) == CT_OK && me == 0) /* all ranks call, one prints */
        printf("%s", text);
    ct_destroy(t);
    free(block.now);
    free(block.next);
    MPI_Type_free(&column);
    MPI_Comm_free(&plate);
    MPI_Finalize();
    return 0;
}
