/*
 * Internal part of carbontracker_mpi.h: it writes the text of ct_mpi_report. Include carbontracker_mpi.h.
 *
 * The library cannot write these lines, since its reports cover one rank. The units are those of its text report.
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

/* The units of energy from the smallest on, a thousand between two; an amount is given in the first. */
static const char ct_mpi_energy_units[] = "mWh Wh kWh MWh GWh";
static const char ct_mpi_mass_units[] = "mg g kg t";

static inline double ct_mpi_mwh(double joules)
{
    return joules / 3.6;
}

/* The largest unit that keeps an amount at 1 or above, the second one for 0; `*size` becomes its size in the
   first unit. */
static inline const char *ct_mpi_unit(double x, const char *units, double *size)
{
    const char *next;
    for (*size = 1; (x >= 999.5 * *size || (x == 0 && *size < 2)) && (next = strchr(units, ' ')) != NULL; *size *= 1000)
        units = next + 1;
    return units;
}

/* A number with three significant digits, or with two, as an estimate has. */
static inline void ct_mpi_digits(struct ct_mpi_text *text, double x, int digits)
{
    char rounded[32];
    if (digits < 3 || x < 999.5) {
        snprintf(rounded, sizeof rounded, "%.*e", digits - 1, x);
        x = strtod(rounded, NULL);
    }
    if (x < 1)
        ct_mpi_append(text, "%.*g", digits, x);
    else
        ct_mpi_append(text, "%.*f", x < 10 ? digits - 1 : x < 100 ? digits - 2 : 0, x);
}

/* An amount with its unit, as in the library's text report: "12.3 kWh". `ends`: the interval of an estimate, or NULL. */
static inline void ct_mpi_quantity(struct ct_mpi_text *text, int known, double x, const double *ends, const char *units)
{
    double size;
    const char *unit = ct_mpi_unit(x, units, &size);
    if (!known) {
        ct_mpi_append(text, "unknown");
        return;
    }
    ct_mpi_append(text, "%s", ends != NULL ? "\xe2\x89\x88 " : ""); /* the sign for "about" */
    ct_mpi_digits(text, x / size, ends != NULL ? 2 : 3);
    ct_mpi_append(text, " %.*s", (int)strcspn(unit, " "), unit);
    if (ends != NULL) {
        ct_mpi_append(text, " (");
        ct_mpi_digits(text, ends[0] / size, 2);
        ct_mpi_append(text, " to ");
        ct_mpi_digits(text, ends[1] / size, 2);
        ct_mpi_append(text, ")");
    }
}

/* A time in two units at most: "350 ms", "12.3 s", "1 min 5 s", "2 h 15 min", "41 d 15 h". */
static inline void ct_mpi_duration(struct ct_mpi_text *text, int known, double s)
{
    static const struct {
        long long large, small;
        const char *name, *part;
    } units[] = {{86400, 3600, "d", "h"}, {3600, 60, "h", "min"}, {60, 1, "min", "s"}};
    int n;
    if (!known || s < 59.95) {
        ct_mpi_quantity(text, known, 1e3 * s, NULL, "ms s");
        return;
    }
    for (n = 0; n < 3; n++) {
        const long long parts = (long long)(s / (double)units[n].small + 0.5), per = units[n].large / units[n].small;
        if (parts < per)
            continue;
        ct_mpi_append(text, "%lld %s", parts / per, units[n].name);
        if (parts % per > 0)
            ct_mpi_append(text, " %lld %s", parts % per, units[n].part);
        return;
    }
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
        ct_mpi_append(text, "  ");
        ct_mpi_quantity(text, node.known, ct_mpi_mwh(node.joules), NULL, ct_mpi_energy_units);
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
    const double facility = 1e6 * x[CT_MPI_FACILITY], energy = ct_mpi_mwh(x[CT_MPI_ENERGY]);
    double of_energy[2], of_facility[2], of_mass[2]; /* the ends of the intervals */
    int n;
    for (n = 0; n < 2; n++) {
        of_energy[n] = ct_mpi_mwh(x[CT_MPI_ENERGY_LOW + n]);
        of_facility[n] = energy > 0 ? facility * of_energy[n] / energy : facility;
        of_mass[n] = 1e3 * x[CT_MPI_CO2_LOW + n];
    }
    ct_mpi_append(text, "run of %d rank%s on %d node%s", run->ranks, run->ranks == 1 ? "" : "s", run->nodes,
                  run->nodes == 1 ? "" : "s");
    if (run->tracked < run->ranks)
        ct_mpi_append(text, ", %d of them tracked", run->tracked);
    ct_mpi_append(text, "\n  time    ");
    ct_mpi_duration(text, known[CT_MPI_TIME], x[CT_MPI_TIME]);
    ct_mpi_append(text, "\n  energy  ");
    ct_mpi_quantity(text, known[CT_MPI_ENERGY], energy, is_estimated ? of_energy : NULL, ct_mpi_energy_units);
    if (known[CT_MPI_ENERGY] && run->missing > 0)
        ct_mpi_append(text, ", without %d of the nodes, where it is unknown", run->missing);
    if (known[CT_MPI_FACILITY] && facility > 1.0001 * energy) {
        ct_mpi_append(text, "\n          ");
        ct_mpi_quantity(text, 1, facility, is_estimated ? of_facility : NULL, ct_mpi_energy_units);
        ct_mpi_append(text, " with PUE");
    }
    ct_mpi_append(text, "\n  CO2e    ");
    ct_mpi_quantity(text, known[CT_MPI_CO2], 1e3 * x[CT_MPI_CO2],
                    is_estimated && known[CT_MPI_CO2_LOW] && known[CT_MPI_CO2_HIGH] ? of_mass : NULL, ct_mpi_mass_units);
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
