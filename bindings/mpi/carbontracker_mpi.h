/*
 * carbontracker over MPI: the numbers of a whole run on every rank. Header only; compile it with your own mpi.h.
 * C99 and C++11. Every rank makes and uses its tracker as without MPI:
 *
 *     ct_tracker *t = NULL;                                // a rank whose ct_create fails keeps NULL and takes part
 *     ct_create("epochs=100 location=DK", &t);
 *     for (int epoch = 0; epoch < 100; epoch++) {
 *         ct_epoch_begin(t);
 *         advance(comm);
 *         ct_epoch_end(t);
 *     }
 *     double joules;
 *     int missing;                                         // nodes whose energy is unknown
 *     if (ct_mpi_value(t, comm, "/usage/energy_j", &joules, &missing) == CT_OK) ...
 *     if (ct_mpi_report(t, comm, text, sizeof text, NULL) == CT_OK && rank == 0) puts(text);
 *     ct_destroy(t);                                       // after the last of these calls
 *     MPI_Finalize();
 *
 * Collective All ranks of `comm`, an intracommunicator, call both functions with the same pointer. A NULL tracker takes
 *             part. All ranks get the same status and number. Call them only from a thread that may call MPI, and not
 *             from several threads at once on one communicator.
 * Sums        The library makes one rank of a node count each device at a time; the energy is null on the other ranks.
 *             So the run's energy is the sum over the ranks. Ranks of one node share memory. If they have not found
 *             each other ("/job/agreed") and list the same device, only the largest count is added.
 * Restarts    ct_mpi_value of "/run/epochs_done" is the minimum over the ranks: all ranks start with that epoch.
 * Errors      CT_EIO: MPI failed and the error handler of `comm` returned. Communicators made here are freed.
 * Version     The library must be at least as new as this header. An older one does not identify its devices. Then
 *             the energy of a node is unknown if two of its ranks have not found each other (`missing`, CT_ENOENT).
 */
#ifndef CARBONTRACKER_MPI_H
#define CARBONTRACKER_MPI_H

#include "carbontracker_mpi_text.h"

/* Internal: the ranks of `comm` that share this one's memory. */
static inline int ct_mpi_of_node(MPI_Comm comm, MPI_Comm *node)
{
    return MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, node);
}

/* Internal: whether all ranks passed the same pointer. Not 0 if MPI failed. */
static inline int ct_mpi_same(MPI_Comm comm, const char *pointer, int *is_same)
{
    /* The minimum of the ranks' hashes (FNV-1a) and, as a complement, their maximum. */
    uint64_t hash[2] = {14695981039346656037u, 0};
    int failed;
    for (; pointer != NULL && *pointer != '\0'; pointer++)
        hash[0] = (hash[0] ^ (unsigned char)*pointer) * 1099511628211u;
    hash[1] = ~hash[0];
    failed = MPI_Allreduce(MPI_IN_PLACE, hash, 2, MPI_UINT64_T, MPI_MIN, comm);
    *is_same = hash[0] == ~hash[1];
    return failed;
}

/**
 * One number of the whole run, by JSON Pointer as in ct_value. The unit at the end of its last name sets the rule:
 * energy and CO2e (_j, _kwh, _g) are summed over the ranks; durations (_s) are the maximum. "/run/epochs_done" is the
 * minimum over the ranks that have a tracker, so that a restarted run begins with one epoch on all ranks. Bounds
 * ("/forecast/energy_j/high") are summed like values. This makes the interval wider than necessary.
 *
 * A phase is named by its path: "/phases/rows/solve/energy_j". Its energy is summed, its duration is the maximum, and
 * "entries" is summed. A rank that counts a device divides its energy among its own phases.
 *
 * `missing` (may be NULL): the number of nodes on which no rank knows the number. Their energy is not in the sum. 0 for
 * "/run/epochs_done".
 *
 * CT_OK: `*out` and `*missing` are the same on all ranks. CT_ENOENT: no rank knows the number. CT_DISABLED: no rank has
 * a tracker. CT_EINVAL: the name has no such unit, such as "/usage/coverage"; or it is in "/components", or in
 * "/phases/rows" by an index: their order differs between ranks; or the ranks passed different pointers. CT_EIO: MPI failed. Any other status: no rank knows
 * the number, and ct_value returned this status on one of them.
 */
static inline ct_status ct_mpi_value(ct_tracker *tracker, MPI_Comm comm, const char *pointer, double *out, int *missing)
{
    MPI_Comm node = MPI_COMM_NULL;
    ct_status status = CT_EIO;
    int is_same;
    if (ct_mpi_same(comm, pointer, &is_same) != MPI_SUCCESS)
        return CT_EIO;
    if (!is_same)
        return CT_EINVAL;
    if (ct_mpi_of_node(comm, &node) == MPI_SUCCESS)
        status = ct_mpi_over(tracker, comm, node, pointer, out, missing);
    if (node != MPI_COMM_NULL)
        MPI_Comm_free(&node);
    return status;
}

/**
 * A few lines about the whole run, in the buffer of rank 0: ranks, nodes, time, energy, CO2e, and a line per node.
 * `buf` and `cap` are ignored on other ranks.
 *
 * `*needed` (may be NULL) becomes the size of the text in bytes, on every rank, as in ct_report. CT_ERANGE: the buffer
 * of rank 0 is too small; every rank gets this status, so that all can call again. CT_DISABLED: no rank has a tracker;
 * the text is empty.
 */
static inline ct_status ct_mpi_report(ct_tracker *tracker, MPI_Comm comm, char *buf, size_t cap, size_t *needed)
{
    MPI_Comm node = MPI_COMM_NULL, firsts = MPI_COMM_NULL;
    ct_status status = CT_EIO;
    int me, of_node;
    if (ct_mpi_of_node(comm, &node) == MPI_SUCCESS && MPI_Comm_rank(comm, &me) == MPI_SUCCESS &&
        MPI_Comm_rank(node, &of_node) == MPI_SUCCESS &&
        MPI_Comm_split(comm, of_node == 0 ? 0 : MPI_UNDEFINED, me, &firsts) == MPI_SUCCESS)
        status = ct_mpi_write(tracker, comm, node, firsts, buf, cap, needed);
    if (firsts != MPI_COMM_NULL)
        MPI_Comm_free(&firsts);
    if (node != MPI_COMM_NULL)
        MPI_Comm_free(&node);
    return status;
}

#endif /* CARBONTRACKER_MPI_H */
