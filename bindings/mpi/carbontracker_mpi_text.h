/*
 * Internal part of carbontracker_mpi.h: it writes the text of ct_mpi_report. Include carbontracker_mpi.h.
 *
 * The library cannot write these lines: its reports cover one rank.
 */
#ifndef CARBONTRACKER_MPI_TEXT_H
#define CARBONTRACKER_MPI_TEXT_H

#include "carbontracker_mpi_sum.h"

#include <stdarg.h>

/* A text that grows; `length` counts characters that did not fit, too. */
struct ct_mpi_text {
    char *buf;
    size_t cap;
    size_t length;
};

/* snprintf at the end of the text. */
static inline void ct_mpi_append(struct ct_mpi_text *text, const char *format, ...)
{
    const size_t left = text->buf != NULL && text->length < text->cap ? text->cap - text->length : 0;
    int added;
    va_list values;
    va_start(values, format);
    added = vsnprintf(left > 0 ? text->buf + text->length : NULL, left, format, values);
    va_end(values);
    text->length += added > 0 ? (size_t)added : 0;
}

/* A label and a quantity with three digits, in the largest of four units that keeps the number at 1 or above. */
static inline void ct_mpi_quantity(struct ct_mpi_text *text, const char *label, int known, double x, const char *units)
{
    int steps = 3;
    if (!known) {
        ct_mpi_append(text, "%sunknown", label);
        return;
    }
    for (; x >= 1000 && steps > 0; steps--, x /= 1000)
        units = strchr(units, ' ') + 1;
    ct_mpi_append(text, "%s%.*f %.*s", label, x < 10 ? 2 : x < 100 ? 1 : 0, x, (int)strcspn(units, " "), units);
}

static inline void ct_mpi_duration(struct ct_mpi_text *text, int known, double s)
{
    const long long whole = (long long)(s + 0.5);
    if (!known || s < 60)
        ct_mpi_quantity(text, "\n  time    ", known, s, "s s s s");
    else
        ct_mpi_append(text, "\n  time    %lldh %lldm %llds", whole / 3600, whole / 60 % 60, whole % 60);
}

/* The interval of an estimate, from ends[0] to ends[1]. */
static inline void ct_mpi_interval(struct ct_mpi_text *text, const double *ends, double size, const char *units)
{
    ct_mpi_quantity(text, " (", 1, size * ends[0], units);
    ct_mpi_quantity(text, " to ", 1, size * ends[1], units);
    ct_mpi_append(text, ")");
}

/* One line of the list of nodes. */
struct ct_mpi_node {
    char host[64];
    double joules;
    int known, ranks;
};

/* Fills in this node. Collective over `node`; returns CT_EIO if MPI failed. */
static inline ct_status ct_mpi_node_of(ct_tracker *tracker, MPI_Comm node, struct ct_mpi_node *own)
{
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    int length;
    memset(own, 0, sizeof *own);
    own->known = ct_mpi_over(tracker, node, node, "/usage/energy_j", &own->joules, NULL) == CT_OK;
    if (MPI_Get_processor_name(host, &length) || MPI_Comm_size(node, &own->ranks))
        return CT_EIO;
    memcpy(own->host, host, strlen(host) < sizeof own->host ? strlen(host) : sizeof own->host - 1);
    return CT_OK;
}

/* Writes a line per node at rank 0 of `firsts`, the first ranks of the nodes. Collective over it; not 0 if MPI
   failed. */
static inline int ct_mpi_lines(struct ct_mpi_text *text, const struct ct_mpi_node *own, MPI_Comm firsts)
{
    struct ct_mpi_node node = *own;
    int me, count, n, failed = MPI_Comm_rank(firsts, &me) || MPI_Comm_size(firsts, &count);
    if (!failed && me != 0)
        return MPI_Send(&node, (int)sizeof node, MPI_BYTE, 0, 0, firsts);
    for (n = 0; n < count && !failed; n++) {
        failed = n > 0 && MPI_Recv(&node, (int)sizeof node, MPI_BYTE, n, 0, firsts, MPI_STATUS_IGNORE);
        ct_mpi_quantity(text, "  ", node.known, node.joules, "J kJ MJ GJ");
        ct_mpi_append(text, ": %s, %d rank%s\n", node.host, node.ranks, node.ranks == 1 ? "" : "s");
    }
    return failed;
}

enum ct_mpi_number {
    CT_MPI_TIME,
    CT_MPI_ENERGY,
    CT_MPI_FACILITY,
    CT_MPI_CO2,
    CT_MPI_ENERGY_LOW,
    CT_MPI_ENERGY_HIGH,
    CT_MPI_CO2_LOW,
    CT_MPI_CO2_HIGH,
    CT_MPI_NUMBERS
};

/* The numbers of the whole run that the text shows. */
struct ct_mpi_run {
    double x[CT_MPI_NUMBERS];
    int known[CT_MPI_NUMBERS];
    int missing; /* nodes without a known energy */
    int ranks, tracked, nodes;
};

/* Asks for the numbers. Collective over `comm`; CT_DISABLED: no rank has a tracker; CT_EIO: MPI failed. */
static inline ct_status ct_mpi_ask(ct_tracker *tracker, MPI_Comm comm, MPI_Comm node, int is_first, struct ct_mpi_run *run)
{
    static const char *const pointers[] = {"/usage/duration_s", "/usage/energy_j", "/usage/facility_energy_kwh",
                                           "/usage/co2eq_g", "/usage/energy_low_j", "/usage/energy_high_j",
                                           "/usage/co2eq_low_g", "/usage/co2eq_high_g"};
    int n, count[2], counts[2];
    memset(run, 0, sizeof *run);
    for (n = 0; n < CT_MPI_NUMBERS; n++) {
        int *missing = n == CT_MPI_ENERGY ? &run->missing : NULL;
        const ct_status status = ct_mpi_over(tracker, comm, node, pointers[n], &run->x[n], missing);
        if (status == CT_EIO || status == CT_DISABLED)
            return status;
        run->known[n] = status == CT_OK;
    }
    count[0] = is_first;
    count[1] = tracker != NULL;
    if (MPI_Comm_size(comm, &run->ranks) || MPI_Allreduce(count, counts, 2, MPI_INT, MPI_SUM, comm))
        return CT_EIO;
    run->nodes = counts[0];
    run->tracked = counts[1];
    return CT_OK;
}

/* Writes everything but the list of nodes. */
static inline void ct_mpi_head(struct ct_mpi_text *text, const struct ct_mpi_run *run)
{
    const double *x = run->x;
    const int *known = run->known;
    const int is_estimated = known[CT_MPI_ENERGY] && known[CT_MPI_ENERGY_LOW] && known[CT_MPI_ENERGY_HIGH] &&
                             x[CT_MPI_ENERGY_LOW] < x[CT_MPI_ENERGY_HIGH];
    const char *about = is_estimated ? "about " : "";
    ct_mpi_append(text, "run of %d rank%s on %d node%s", run->ranks, run->ranks == 1 ? "" : "s", run->nodes,
                  run->nodes == 1 ? "" : "s");
    if (run->tracked < run->ranks)
        ct_mpi_append(text, ", %d of them tracked", run->tracked);
    ct_mpi_duration(text, known[CT_MPI_TIME], x[CT_MPI_TIME]);
    ct_mpi_append(text, "\n  energy  %s", about);
    ct_mpi_quantity(text, "", known[CT_MPI_ENERGY], x[CT_MPI_ENERGY], "J kJ MJ GJ");
    if (is_estimated)
        ct_mpi_interval(text, &x[CT_MPI_ENERGY_LOW], 1, "J kJ MJ GJ");
    if (known[CT_MPI_FACILITY]) {
        ct_mpi_append(text, ", at the facility %s", about);
        ct_mpi_quantity(text, "", 1, 1e6 * x[CT_MPI_FACILITY], "mWh Wh kWh MWh");
    }
    if (known[CT_MPI_ENERGY] && run->missing > 0)
        ct_mpi_append(text, "; without %d of the nodes, where it is unknown", run->missing);
    ct_mpi_append(text, "\n  CO2e    %s", about);
    ct_mpi_quantity(text, "", known[CT_MPI_CO2], 1e3 * x[CT_MPI_CO2], "mg g kg t");
    if (is_estimated && known[CT_MPI_CO2_LOW] && known[CT_MPI_CO2_HIGH])
        ct_mpi_interval(text, &x[CT_MPI_CO2_LOW], 1e3, "mg g kg t");
    ct_mpi_append(text, "\nnodes:\n");
}

/* ct_mpi_report, with the ranks of this node, and on the first of them the first ranks of all nodes. */
static inline ct_status ct_mpi_write(ct_tracker *tracker, MPI_Comm comm, MPI_Comm node, MPI_Comm firsts, char *buf, size_t cap,
                                     size_t *needed)
{
    struct ct_mpi_text text;
    struct ct_mpi_run run;
    struct ct_mpi_node own;
    unsigned long long size[2]; /* the bytes of the text, and whether they fit */
    ct_status status;
    int me;
    if (MPI_Comm_rank(comm, &me))
        return CT_EIO;
    text.buf = buf;
    text.cap = me != 0 || buf == NULL ? 0 : cap;
    text.length = 0;
    status = ct_mpi_ask(tracker, comm, node, firsts != MPI_COMM_NULL, &run);
    if (status == CT_DISABLED) { /* as ct_report does */
        if (text.cap > 0)
            buf[0] = '\0';
        if (needed != NULL)
            *needed = 1;
    }
    if (status != CT_OK)
        return status;
    if (ct_mpi_node_of(tracker, node, &own) != CT_OK)
        return CT_EIO;
    ct_mpi_head(&text, &run);
    if (firsts != MPI_COMM_NULL && ct_mpi_lines(&text, &own, firsts))
        return CT_EIO;
    size[0] = text.length + 1;
    size[1] = text.length < text.cap;
    if (MPI_Bcast(size, 2, MPI_UNSIGNED_LONG_LONG, 0, comm))
        return CT_EIO;
    if (needed != NULL)
        *needed = (size_t)size[0];
    return size[1] ? CT_OK : CT_ERANGE;
}

#endif /* CARBONTRACKER_MPI_TEXT_H */
