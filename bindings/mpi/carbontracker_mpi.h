/*
 * carbontracker over MPI: the numbers of a whole run on every rank. Header only, compiled with your own mpi.h;
 * C99 and C++11. Every rank makes and uses its tracker as it would without MPI:
 *
 *     ct_tracker *t = NULL;                                // a rank whose ct_create fails keeps NULL and takes part
 *     ct_create("epochs=100 location=DK", &t);
 *     for (int epoch = 0; epoch < 100; epoch++) {
 *         ct_epoch_begin(t);
 *         advance(comm);
 *         ct_epoch_end(t);
 *     }
 *     double joules;
 *     int missing;                                         // nodes whose energy nobody knows
 *     if (ct_mpi_value(t, comm, "/usage/energy_j", &joules, &missing) == CT_OK) ...
 *     if (ct_mpi_report(t, comm, text, sizeof text, NULL) == CT_OK && rank == 0) puts(text);
 *     ct_destroy(t);                                       // after the last of these calls
 *     MPI_Finalize();
 *
 * Collective  Both functions are called by all ranks of `comm`, an intracommunicator, with the same pointer; a NULL
 *             tracker takes part. All ranks get the same status and number. Not from several threads at once on one
 *             communicator, and only where this thread may call MPI.
 * Sums        The library makes one rank of a node count each device at a time; on the others that energy is null. So the
 *             run's energy is the sum over ranks. Where ranks of one node (those that share memory) have not found each
 *             other ("/job/agreed") and list the same device, the largest count is taken, and the others are left out.
 * Restarts    ct_mpi_value of "/run/epochs_done" is the least of the ranks: all begin with that epoch.
 * Errors      CT_EIO: MPI failed and `comm`'s error handler returned. Communicators made here are freed before return.
 */
#ifndef CARBONTRACKER_MPI_H
#define CARBONTRACKER_MPI_H

#include <carbontracker.h>
#include <mpi.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- internal ---- */

/* The last name of a JSON Pointer, without the bound of an interval; its length in `length`. */
static inline const char *ct_mpi_name(const char *pointer, size_t *length)
{
    const char *end = pointer + strlen(pointer), *name = strrchr(pointer, '/');
    if (name != NULL && (strcmp(name, "/value") == 0 || strcmp(name, "/low") == 0 || strcmp(name, "/high") == 0))
        end = name;
    for (name = end; name > pointer && name[-1] != '/';)
        name--;
    *length = (size_t)(end - name);
    return name;
}

enum ct_mpi_rule { CT_MPI_NONE, CT_MPI_SUM, CT_MPI_LONGEST, CT_MPI_LEAST };

/* How the ranks' numbers become one, by the unit in the name. A component's place differs by rank. */
static inline enum ct_mpi_rule ct_mpi_rule_of(const char *pointer)
{
    char name[32] = "";
    size_t length;
    const char *last, *unit;
    if (pointer == NULL || pointer[0] != '/' || strncmp(pointer, "/components", 11) == 0)
        return CT_MPI_NONE;
    if (strcmp(pointer, "/run/epochs_done") == 0)
        return CT_MPI_LEAST;
    last = ct_mpi_name(pointer, &length);
    memcpy(name, last, length < sizeof name ? length : sizeof name - 1);
    unit = strrchr(name, '_');
    if (unit == NULL || strstr(name, "_per_") != NULL)
        return CT_MPI_NONE;
    if (strcmp(unit, "_j") == 0 || strcmp(unit, "_kwh") == 0 || strcmp(unit, "_g") == 0)
        return CT_MPI_SUM;
    return strcmp(unit, "_s") == 0 ? CT_MPI_LONGEST : CT_MPI_NONE;
}

/* A device that a rank counts, and its energy. */
struct ct_mpi_device {
    uint64_t key; /* a hash of its labels; 0: this rank's own, as a simulated GPU is */
    double joules;
    char kind[8];
};

/* Reads the next device of a report in Prometheus' format and moves on; 0 after the last. */
static inline int ct_mpi_next(const char **text, struct ct_mpi_device *device)
{
    static const char metric[] = "carbontracker_energy_joules_total{", label[] = ",component=\"";
    const char *line = *text, *end, *labels, *simulated, *at;
    double scale = 1;
    while (strncmp(line, metric, sizeof metric - 1) != 0) {
        line = strchr(line, '\n');
        if (line++ == NULL)
            return 0;
    }
    end = line + strcspn(line, "\n");
    *text = *end == '\n' ? end + 1 : end;
    labels = strstr(line, label);
    memset(device, 0, sizeof *device);
    if (labels == NULL || labels > end)
        return 0;
    labels += sizeof label - 1;
    device->key = 14695981039346656037u; /* FNV-1a */
    for (at = labels; at < end && strncmp(at, "\"} ", 3) != 0; at++)
        device->key = (device->key ^ (unsigned char)*at) * 1099511628211u;
    memcpy(device->kind, labels, strcspn(labels, "\"") < sizeof device->kind ? strcspn(labels, "\"") : 0);
    simulated = strstr(labels, ",source=\"simulated\"");
    if (strcmp(device->kind, "gpu") == 0 && simulated != NULL && simulated < end)
        device->key = 0;
    /* Not strtod, which would take the decimal point from the program's locale. */
    for (at += 3; at < end && *at >= '0' && *at <= '9'; at++)
        device->joules = 10 * device->joules + (*at - '0');
    if (at < end && *at == '.')
        for (at++; at < end && *at >= '0' && *at <= '9'; at++)
            device->joules += (*at - '0') * (scale /= 10);
    return 1;
}

/* A report as text; free() it. NULL: none, or no memory. */
static inline char *ct_mpi_text(ct_tracker *tracker, const char *format)
{
    size_t needed = 0;
    ct_status status = ct_report(tracker, format, NULL, 0, &needed);
    char *text = NULL;
    while (status == CT_ERANGE) {
        size_t cap = needed + 256; /* numbers grow */
        char *larger = (char *)realloc(text, cap);
        if (larger == NULL)
            break;
        text = larger;
        status = ct_report(tracker, format, text, cap, &needed);
    }
    if (status == CT_OK)
        return text;
    free(text);
    return NULL;
}

/* The number of the record in which this rank and others of its node agree who counts what; 0: it has none. */
static inline double ct_mpi_record(ct_tracker *tracker)
{
    double agreed, record;
    if (ct_value(tracker, "/job/agreed", &agreed) != CT_OK || agreed != 1)
        return 0;
    return ct_value(tracker, "/job/record", &record) == CT_OK ? record : 0;
}

/* The devices that this rank counts, as lines of text; free() it. NULL: none. */
static inline char *ct_mpi_listed(ct_tracker *tracker)
{
    char *text = ct_mpi_text(tracker, "prometheus");
    if (text != NULL && strstr(text, "carbontracker_energy_joules_total{") != NULL)
        return text;
    free(text);
    return NULL;
}

/* Those that another rank might count too, as lines of text; free() it. NULL: none. Ranks that share a record may both list a
 * device, each for its own time. That is so only if all ranks that count share one: those of two jobs have one each. Collective
 * over `node`; `*failed` is not 0 if MPI failed. */
static inline char *ct_mpi_devices(ct_tracker *tracker, MPI_Comm node, int *failed)
{
    const double record = ct_mpi_record(tracker);
    char *text = record > 0 ? NULL : ct_mpi_listed(tracker);
    /* The largest and, as its opposite, the least record of the ranks that count. */
    double own[2] = {-1e300, -1e300}, most[2] = {0, 0};
    if (record > 0 || text != NULL) {
        own[0] = record;
        own[1] = -record;
    }
    *failed = MPI_Allreduce(own, most, 2, MPI_DOUBLE, MPI_MAX, node);
    if (!*failed && record > 0 && most[0] != -most[1])
        text = ct_mpi_listed(tracker);
    return text;
}

/* Which part of this rank's energy is to be summed: 1, but for devices that another rank of the node counts too and has
 * more of. Of those of `kind` only if it names one. Collective over `node`; not 0 if MPI failed. */
static inline int ct_mpi_share(ct_tracker *tracker, MPI_Comm node, const char *kind, double *share)
{
    int failed;
    char *text = ct_mpi_devices(tracker, node, &failed);
    const char *mine = text == NULL ? "" : text, *others;
    struct ct_mpi_device device, own;
    double all = 0, counted = 0;
    int me, size, rank, there = text != NULL, counting = 0, better, beaten;
    failed = failed || MPI_Comm_rank(node, &me) || MPI_Comm_size(node, &size) ||
             MPI_Allreduce(&there, &counting, 1, MPI_INT, MPI_SUM, node);
    for (rank = 0; rank < size && counting > 1 && !failed; rank++) { /* one alone has nobody to share with */
        for (;;) {
            there = rank == me && ct_mpi_next(&mine, &device);
            failed = MPI_Bcast(&there, 1, MPI_INT, rank, node);
            if (failed || !there)
                break;
            failed = MPI_Bcast(&device, (int)sizeof device, MPI_BYTE, rank, node);
            better = 0;
            for (others = text == NULL ? "" : text; rank != me && ct_mpi_next(&others, &own);)
                if (device.key != 0 && own.key == device.key &&
                    (own.joules > device.joules || (own.joules == device.joules && me < rank)))
                    better = 1;
            failed = failed || MPI_Allreduce(&better, &beaten, 1, MPI_INT, MPI_MAX, node);
            if (failed)
                break;
            if (rank == me && (kind[0] == '\0' || strcmp(kind, device.kind) == 0)) {
                all += device.joules;
                counted += beaten ? 0 : device.joules;
            }
        }
    }
    free(text);
    *share = counted < all ? counted / all : 1;
    return failed;
}

/* What this rank's part of a sum is at least: where it has no forecast, as after an epoch's end that it counted alone, what it
 * used. Of what remains nothing. Else 0. */
static inline double ct_mpi_least(ct_tracker *tracker, const char *pointer)
{
    char used[64];
    size_t length;
    double value;
    const char *name;
    if (strncmp(pointer, "/forecast/", 10) != 0 || strncmp(pointer, "/forecast/remaining/", 20) == 0)
        return 0;
    name = ct_mpi_name(pointer, &length);
    snprintf(used, sizeof used, "/usage/%.*s", (int)(length < 32 ? length : 32), name);
    return ct_value(tracker, used, &value) == CT_OK ? value : 0;
}

/* What an end of an interval is where all of this rank's energy is measured and has none: "/usage/energy_low_j" is
 * "/usage/energy_j" then. */
static inline ct_status ct_mpi_end(ct_tracker *tracker, const char *pointer, double *value)
{
    char measured[64];
    const char *end = strstr(pointer, "_low_");
    const size_t length = end != NULL ? 4 : 5;
    const ct_status status = ct_value(tracker, pointer, value);
    if (end == NULL)
        end = strstr(pointer, "_high_");
    if (status != CT_ENOENT || end == NULL || strncmp(pointer, "/usage/", 7) != 0 || strlen(pointer) >= sizeof measured)
        return status;
    snprintf(measured, sizeof measured, "%.*s%s", (int)(end - pointer), pointer, end + length);
    return ct_value(tracker, measured, value);
}

/* ct_mpi_value, given the ranks of this node. All ranks of `comm` are here: while one has not come, its epoch may be open,
 * and a rank that has come may still be given what that one counts. So nothing is asked before, and each rank is asked. */
static inline ct_status ct_mpi_over(ct_tracker *tracker, MPI_Comm comm, MPI_Comm node, const char *pointer, double *out,
                                    int *missing)
{
    const double wrong = 1000, best = 500, none = -1e300; /* above all statuses: of the ranks' answers the highest is the run's */
    const enum ct_mpi_rule rule = ct_mpi_rule_of(pointer);
    double value = 0, share = 1, sum[2], sums[2], top[2], tops[2];
    char kind[8] = "";
    int me, known, node_knows;
    const ct_status status = rule == CT_MPI_NONE || out == NULL ? CT_EINVAL : ct_mpi_end(tracker, pointer, &value);
    if (rule == CT_MPI_SUM) { /* "cpu_j" is of the processors alone, "energy_j" of everything */
        size_t length;
        const char *name = ct_mpi_name(pointer, &length);
        if (strncmp(name, "cpu_", 4) == 0 || strncmp(name, "gpu_", 4) == 0 || strncmp(name, "dram_", 5) == 0 ||
            strncmp(name, "node_", 5) == 0)
            memcpy(kind, name, strcspn(name, "_"));
    }
    known = status == CT_OK;
    if (!known && rule == CT_MPI_SUM)
        value = ct_mpi_least(tracker, pointer);
    /* After the value: both are of the same devices, as ranks that share a record list none here. */
    if ((rule == CT_MPI_SUM && ct_mpi_share(tracker, node, kind, &share)) || MPI_Comm_rank(node, &me) ||
        MPI_Allreduce(&known, &node_knows, 1, MPI_INT, MPI_MAX, node))
        return CT_EIO;
    sum[0] = share * value;
    sum[1] = me == 0 && !node_knows;
    top[0] = !known ? none : rule == CT_MPI_LEAST ? -value : value;
    top[1] = status == CT_EINVAL ? wrong : known ? best : -(double)status;
    if (MPI_Allreduce(sum, sums, 2, MPI_DOUBLE, MPI_SUM, comm) || MPI_Allreduce(top, tops, 2, MPI_DOUBLE, MPI_MAX, comm))
        return CT_EIO;
    if (tops[1] >= wrong)
        return CT_EINVAL;
    if (tops[1] < best)
        return (ct_status)-(int)tops[1];
    *out = rule == CT_MPI_SUM ? sums[0] : rule == CT_MPI_LEAST ? 0 - tops[0] : tops[0];
    if (missing != NULL)
        *missing = rule == CT_MPI_LEAST ? 0 : (int)sums[1];
    return CT_OK;
}

/* As snprintf at the text's end; its length counts what did not fit, too. */
static inline void ct_mpi_append(char *buf, size_t cap, size_t *length, const char *format, ...)
{
    const size_t left = buf != NULL && *length < cap ? cap - *length : 0;
    int added;
    va_list values;
    va_start(values, format);
    added = vsnprintf(left > 0 ? buf + *length : NULL, left, format, values);
    va_end(values);
    *length += added > 0 ? (size_t)added : 0;
}

/* A label and a quantity of three digits, in the largest of four units that leaves it above 1. */
static inline void ct_mpi_quantity(char *buf, size_t cap, size_t *length, const char *label, int known, double x,
                                   const char *units)
{
    int steps = 3;
    if (!known) {
        ct_mpi_append(buf, cap, length, "%sunknown", label);
        return;
    }
    for (; x >= 1000 && steps > 0; steps--, x /= 1000)
        units = strchr(units, ' ') + 1;
    ct_mpi_append(buf, cap, length, "%s%.*f %.*s", label, x < 10 ? 2 : x < 100 ? 1 : 0, x, (int)strcspn(units, " "), units);
}

static inline void ct_mpi_duration(char *buf, size_t cap, size_t *length, int known, double s)
{
    const long long whole = (long long)(s + 0.5);
    if (!known || s < 60)
        ct_mpi_quantity(buf, cap, length, "\n  time    ", known, s, "s s s s");
    else
        ct_mpi_append(buf, cap, length, "\n  time    %lldh %lldm %llds", whole / 3600, whole / 60 % 60, whole % 60);
}

/* What a node's first rank reports. */
struct ct_mpi_node {
    char host[64];
    double joules;
    int known, ranks;
};

/* A line a node, at rank 0 of `firsts`, the nodes' first ranks. Collective over it; not 0 if MPI failed. */
static inline int ct_mpi_lines(char *buf, size_t cap, size_t *length, const struct ct_mpi_node *own, MPI_Comm firsts)
{
    struct ct_mpi_node node = *own;
    int me, count, n, failed = MPI_Comm_rank(firsts, &me) || MPI_Comm_size(firsts, &count);
    if (!failed && me != 0)
        return MPI_Send(&node, (int)sizeof node, MPI_BYTE, 0, 0, firsts);
    for (n = 0; n < count && !failed; n++) {
        failed = n > 0 && MPI_Recv(&node, (int)sizeof node, MPI_BYTE, n, 0, firsts, MPI_STATUS_IGNORE);
        ct_mpi_quantity(buf, cap, length, "  ", node.known, node.joules, "J kJ MJ GJ");
        ct_mpi_append(buf, cap, length, ": %s, %d rank%s\n", node.host, node.ranks, node.ranks == 1 ? "" : "s");
    }
    return failed;
}

/* The interval of an estimate, from ends[0] to ends[1]. */
static inline void ct_mpi_interval(char *buf, size_t cap, size_t *length, const double *ends, double size, const char *units)
{
    ct_mpi_quantity(buf, cap, length, " (", 1, size * ends[0], units);
    ct_mpi_quantity(buf, cap, length, " to ", 1, size * ends[1], units);
    ct_mpi_append(buf, cap, length, ")");
}

/* ct_mpi_report, given the ranks of this node and, on the first of them, those of the nodes. */
static inline ct_status ct_mpi_write(ct_tracker *tracker, MPI_Comm comm, MPI_Comm node, MPI_Comm firsts, char *buf, size_t cap,
                                     size_t *needed)
{
    enum { TIME, ENERGY, FACILITY, CO2, ENERGY_LOW, ENERGY_HIGH, CO2_LOW, CO2_HIGH, NUMBERS };
    static const char *const pointers[] = {"/usage/duration_s", "/usage/energy_j", "/usage/facility_energy_kwh",
                                           "/usage/co2eq_g", "/usage/energy_low_j", "/usage/energy_high_j",
                                           "/usage/co2eq_low_g", "/usage/co2eq_high_g"};
    double x[NUMBERS] = {0};
    int known[NUMBERS], n, me, length_of_host, ranks, missing = 0, is_estimated, count[2], counts[2];
    size_t length = 0;
    unsigned long long told[2]; /* the bytes it takes, and whether they were there */
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    struct ct_mpi_node own;
    memset(&own, 0, sizeof own);
    if (MPI_Comm_rank(comm, &me))
        return CT_EIO;
    for (n = 0; n < NUMBERS; n++) {
        const ct_status status = ct_mpi_over(tracker, comm, node, pointers[n], &x[n], n == ENERGY ? &missing : NULL);
        if (status == CT_EIO)
            return CT_EIO;
        if (status == CT_DISABLED) { /* as ct_report has it */
            if (me == 0 && buf != NULL && cap > 0)
                buf[0] = '\0';
            if (needed != NULL)
                *needed = 1;
            return CT_DISABLED;
        }
        known[n] = status == CT_OK;
    }
    own.known = ct_mpi_over(tracker, node, node, "/usage/energy_j", &own.joules, NULL) == CT_OK;
    count[0] = firsts != MPI_COMM_NULL;
    count[1] = tracker != NULL;
    if (MPI_Get_processor_name(host, &length_of_host) || MPI_Comm_size(node, &own.ranks) || MPI_Comm_size(comm, &ranks) ||
        MPI_Allreduce(count, counts, 2, MPI_INT, MPI_SUM, comm))
        return CT_EIO;
    memcpy(own.host, host, strlen(host) < sizeof own.host ? strlen(host) : sizeof own.host - 1);
    if (me != 0 || buf == NULL)
        cap = 0;
    ct_mpi_append(buf, cap, &length, "run of %d rank%s on %d node%s", ranks, ranks == 1 ? "" : "s", counts[0],
                  counts[0] == 1 ? "" : "s");
    if (counts[1] < ranks)
        ct_mpi_append(buf, cap, &length, ", %d of them tracked", counts[1]);
    ct_mpi_duration(buf, cap, &length, known[TIME], x[TIME]);
    is_estimated = known[ENERGY] && known[ENERGY_LOW] && known[ENERGY_HIGH] && x[ENERGY_LOW] < x[ENERGY_HIGH];
    ct_mpi_quantity(buf, cap, &length, is_estimated ? "\n  energy  about " : "\n  energy  ", known[ENERGY], x[ENERGY],
                    "J kJ MJ GJ");
    if (is_estimated)
        ct_mpi_interval(buf, cap, &length, &x[ENERGY_LOW], 1, "J kJ MJ GJ");
    if (known[FACILITY])
        ct_mpi_quantity(buf, cap, &length, is_estimated ? ", at the facility about " : ", at the facility ", 1, 1e6 * x[FACILITY], "mWh Wh kWh MWh");
    if (known[ENERGY] && missing > 0)
        ct_mpi_append(buf, cap, &length, "; without %d of the nodes, where it is unknown", missing);
    ct_mpi_quantity(buf, cap, &length, is_estimated ? "\n  CO2e    about " : "\n  CO2e    ", known[CO2], 1e3 * x[CO2],
                    "mg g kg t");
    if (is_estimated && known[CO2_LOW] && known[CO2_HIGH])
        ct_mpi_interval(buf, cap, &length, &x[CO2_LOW], 1e3, "mg g kg t");
    ct_mpi_append(buf, cap, &length, "\nnodes:\n");
    if (firsts != MPI_COMM_NULL && ct_mpi_lines(buf, cap, &length, &own, firsts))
        return CT_EIO;
    told[0] = length + 1;
    told[1] = length < cap;
    if (MPI_Bcast(told, 2, MPI_UNSIGNED_LONG_LONG, 0, comm))
        return CT_EIO;
    if (needed != NULL)
        *needed = (size_t)told[0];
    return told[1] ? CT_OK : CT_ERANGE;
}

/* The ranks of `comm` that share this one's memory. */
static inline int ct_mpi_of_node(MPI_Comm comm, MPI_Comm *node)
{
    return MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, node);
}

/* ---- to be used ---- */

/**
 * One number of the whole run, by JSON Pointer as in ct_value. The unit at the end of its last name gives the rule: energy
 * and CO2e (_j, _kwh, _g) are summed over the ranks, durations (_s) are the longest. "/run/epochs_done" is the least of the
 * ranks that have a tracker: a restarted run begins with that epoch on all ranks. Bounds ("/forecast/energy_j/high") are
 * summed like values, which makes the interval wider than need be: not all nodes are unlucky at once.
 *
 * `missing` (may be NULL): of how many nodes no rank knows the number. What they used is not in the sum. 0 for
 * "/run/epochs_done".
 *
 * CT_OK: `*out` and `*missing` are the same on all ranks. CT_ENOENT: no rank knows it. CT_DISABLED: no rank has a tracker.
 * CT_EINVAL: no such unit, such as "/usage/coverage", or "/components", whose order differs between ranks. CT_EIO: MPI
 * failed. Else, where no rank knows it, what ct_value answered on one of them.
 */
static inline ct_status ct_mpi_value(ct_tracker *tracker, MPI_Comm comm, const char *pointer, double *out, int *missing)
{
    MPI_Comm node = MPI_COMM_NULL;
    ct_status status = CT_EIO;
    /* The least and, as its complement, the greatest of the ranks' hashes: one pointer has both alike. */
    uint64_t hash[2] = {14695981039346656037u, 0};
    const char *at;
    for (at = pointer == NULL ? "" : pointer; *at != '\0'; at++)
        hash[0] = (hash[0] ^ (unsigned char)*at) * 1099511628211u;
    hash[1] = ~hash[0];
    if (MPI_Allreduce(MPI_IN_PLACE, hash, 2, MPI_UINT64_T, MPI_MIN, comm) != MPI_SUCCESS)
        return CT_EIO;
    if (hash[0] != ~hash[1])
        return CT_EINVAL;
    if (ct_mpi_of_node(comm, &node) == MPI_SUCCESS)
        status = ct_mpi_over(tracker, comm, node, pointer, out, missing);
    if (node != MPI_COMM_NULL)
        MPI_Comm_free(&node);
    return status;
}

/**
 * A few lines about the whole run, in rank 0's buffer: ranks, nodes, time, energy, CO2e, and a line a node. On other
 * ranks `buf` and `cap` are not looked at.
 *
 * As ct_report: `*needed` (may be NULL) becomes the bytes it takes, on every rank. CT_ERANGE: rank 0's buffer is too
 * small, said on every rank, so that all can call again. CT_DISABLED: no rank has a tracker; the text is empty.
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
