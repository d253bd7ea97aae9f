/*
 * Internal part of carbontracker_mpi.h: it turns the numbers of all ranks into one number. Include carbontracker_mpi.h.
 *
 * Every number comes from ct_value. No text of a report is read: its wording may change with the library.
 */
#ifndef CARBONTRACKER_MPI_SUM_H
#define CARBONTRACKER_MPI_SUM_H

#include <carbontracker.h>
#include <mpi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The rule of a number, by the unit in its name ---- */

/* The last name of a JSON Pointer, without "/value", "/low" or "/high"; `length` becomes its length. */
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

/* CT_MPI_COUNT is a sum of what has no device. */
enum ct_mpi_rule { CT_MPI_NONE, CT_MPI_SUM, CT_MPI_COUNT, CT_MPI_LONGEST, CT_MPI_LEAST };

/* Whether the pointer names a phase by its place, which differs between ranks, and not by its path. */
static inline int ct_mpi_is_place(const char *pointer)
{
    const char *row = strncmp(pointer, "/phases/rows/", 13) == 0 ? pointer + 13 : "";
    const size_t digits = strspn(row, "0123456789");
    return digits > 0 && (row[digits] == '/' || row[digits] == '\0');
}

/* The rule that merges the ranks' numbers. A component has a different place on each rank, so it has no rule. */
static inline enum ct_mpi_rule ct_mpi_rule_of(const char *pointer)
{
    char name[32] = "";
    size_t length;
    const char *last, *unit;
    if (pointer == NULL || pointer[0] != '/' || strncmp(pointer, "/components", 11) == 0 ||
        ct_mpi_is_place(pointer))
        return CT_MPI_NONE;
    if (strcmp(pointer, "/run/epochs_done") == 0)
        return CT_MPI_LEAST;
    last = ct_mpi_name(pointer, &length);
    memcpy(name, last, length < sizeof name ? length : sizeof name - 1);
    if (strncmp(pointer, "/phases/rows/", 13) == 0 && strcmp(name, "entries") == 0)
        return CT_MPI_COUNT;
    unit = strrchr(name, '_');
    if (unit == NULL || strstr(name, "_per_") != NULL)
        return CT_MPI_NONE;
    if (strcmp(unit, "_j") == 0 || strcmp(unit, "_kwh") == 0 || strcmp(unit, "_g") == 0)
        return CT_MPI_SUM;
    return strcmp(unit, "_s") == 0 ? CT_MPI_LONGEST : CT_MPI_NONE;
}

enum { CT_MPI_ALL_KINDS = -1 };

/* The kind of device that a number covers: "cpu_j" covers the processors only, "energy_j" covers all devices. */
static inline int ct_mpi_kind_of(const char *pointer)
{
    static const char *const kinds[] = {"cpu_", "gpu_", "dram_", "node_"}; /* as "/components/N/identity/kind" counts */
    size_t length;
    const char *name = ct_mpi_name(pointer, &length);
    int kind;
    for (kind = 0; kind < 4; kind++)
        if (strncmp(name, kinds[kind], strlen(kinds[kind])) == 0)
            return kind;
    return CT_MPI_ALL_KINDS;
}

/* ---- Devices that several ranks of a node count ---- */

/* A device that a rank counts. */
struct ct_mpi_device {
    double hash; /* the same on all ranks that measure this device; 0: no other rank can measure it */
    double joules;
    int kind;
};

/* The devices that one rank counts. */
struct ct_mpi_devices {
    struct ct_mpi_device *list; /* free() it */
    int count;
    int is_unknown; /* the library is older than this header and does not identify devices; or memory is short */
};

/* One number of component `n`. */
static inline ct_status ct_mpi_component(ct_tracker *tracker, int n, const char *name, double *value)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/components/%d/%s", n, name);
    return ct_value(tracker, pointer, value);
}

/* The hash of component `n`; 0 if no other rank can measure it. */
static inline double ct_mpi_hash(ct_tracker *tracker, int n)
{
    double hash;
    return ct_mpi_component(tracker, n, "identity/hash", &hash) == CT_OK ? hash : 0;
}

/* Adds a device, unless the list has it. Returns 0 if memory is short. */
static inline int ct_mpi_add(struct ct_mpi_devices *devices, struct ct_mpi_device device)
{
    struct ct_mpi_device *larger;
    int n;
    for (n = 0; n < devices->count; n++)
        if (device.hash != 0 && devices->list[n].hash == device.hash)
            return 1;
    larger = (struct ct_mpi_device *)realloc(devices->list, (size_t)(devices->count + 1) * sizeof device);
    if (larger == NULL)
        return 0;
    devices->list = larger;
    devices->list[devices->count++] = device;
    return 1;
}

/* The devices that this rank counts. */
static inline struct ct_mpi_devices ct_mpi_list(ct_tracker *tracker)
{
    struct ct_mpi_devices devices = {NULL, 0, 0};
    double kind = 0, joules = 0;
    int n = 0;
    while (ct_mpi_component(tracker, n, "identity/kind", &kind) == CT_OK) {
        struct ct_mpi_device device;
        int is_known;
        device.hash = ct_mpi_hash(tracker, n);
        is_known = ct_mpi_component(tracker, n, "energy_j", &joules) == CT_OK;
        if (ct_mpi_hash(tracker, n) != device.hash)
            continue; /* a new device took this place between the calls: read it again */
        device.kind = (int)kind;
        device.joules = joules;
        if (is_known && !ct_mpi_add(&devices, device))
            devices.is_unknown = 1;
        n++;
    }
    if (n == 0 && ct_mpi_component(tracker, 0, "energy_j", &joules) == CT_OK)
        devices.is_unknown = ct_mpi_component(tracker, 0, "identity/kind", &kind) != CT_OK;
    return devices;
}

/* The number of the record in which this rank and others of its node agree which rank counts a device; 0: none. */
static inline double ct_mpi_record(ct_tracker *tracker)
{
    double agreed, record;
    if (ct_value(tracker, "/job/agreed", &agreed) != CT_OK || agreed != 1)
        return 0;
    return ct_value(tracker, "/job/record", &record) == CT_OK ? record : 0;
}

/*
 * The devices that another rank may count for the same time. If all ranks that count share one record, there are none:
 * two of them may list a device, but each for a different time. Ranks of two jobs have a record each.
 * Collective over `node`; `*failed` is not 0 if MPI failed.
 */
static inline struct ct_mpi_devices ct_mpi_shared(ct_tracker *tracker, MPI_Comm node, int *failed)
{
    const double record = ct_mpi_record(tracker), none = -1e300;
    struct ct_mpi_devices devices = {NULL, 0, 0};
    double own[2], most[2] = {0, 0}; /* the largest record of the ranks that count, and the smallest one, negated */
    int counts;
    if (record <= 0)
        devices = ct_mpi_list(tracker);
    counts = record > 0 || devices.count > 0 || devices.is_unknown;
    own[0] = counts ? record : none;
    own[1] = counts ? -record : none;
    *failed = MPI_Allreduce(own, most, 2, MPI_DOUBLE, MPI_MAX, node);
    if (!*failed && record > 0 && most[0] != -most[1])
        devices = ct_mpi_list(tracker);
    return devices;
}

/* Whether `own` lists this device of another rank with more energy. The lower rank wins if both are equal. */
static inline int ct_mpi_beats(const struct ct_mpi_devices *own, const struct ct_mpi_device *device, int is_lower)
{
    int n;
    for (n = 0; device->hash != 0 && n < own->count; n++)
        if (own->list[n].hash == device->hash &&
            (own->list[n].joules > device->joules || (own->list[n].joules == device->joules && is_lower)))
            return 1;
    return 0;
}

/* Compares the ranks' devices one by one. all[0] becomes this rank's energy in devices of `kind`, all[1] the part of it
 * that no other rank has more of. Collective over `node`; not 0 if MPI failed. */
static inline int ct_mpi_compare(const struct ct_mpi_devices *own, MPI_Comm node, int kind, double *all)
{
    int me, size, rank, n, count, beats, is_beaten;
    if (MPI_Comm_rank(node, &me) || MPI_Comm_size(node, &size))
        return 1;
    for (rank = 0; rank < size; rank++) {
        count = own->count;
        if (MPI_Bcast(&count, 1, MPI_INT, rank, node))
            return 1;
        for (n = 0; n < count; n++) {
            struct ct_mpi_device device = {0, 0, 0};
            if (rank == me)
                device = own->list[n];
            if (MPI_Bcast(&device, (int)sizeof device, MPI_BYTE, rank, node))
                return 1;
            beats = rank != me && ct_mpi_beats(own, &device, me < rank);
            if (MPI_Allreduce(&beats, &is_beaten, 1, MPI_INT, MPI_MAX, node))
                return 1;
            if (rank == me && (kind == CT_MPI_ALL_KINDS || kind == device.kind)) {
                all[0] += device.joules;
                all[1] += is_beaten ? 0 : device.joules;
            }
        }
    }
    return 0;
}

/*
 * The share of this rank's energy that belongs in the sum: 1, less the devices that another rank of the node counts too
 * and has more of. CT_ENOENT: two ranks count, and one cannot identify its devices. CT_EIO: MPI failed.
 * Collective over `node`.
 */
static inline ct_status ct_mpi_share(ct_tracker *tracker, MPI_Comm node, int kind, double *share)
{
    double all[2] = {0, 0};
    int counting[2], total[2] = {0, 0}, failed;
    struct ct_mpi_devices own = ct_mpi_shared(tracker, node, &failed);
    counting[0] = own.count > 0 || own.is_unknown;
    counting[1] = own.is_unknown;
    failed = failed || MPI_Allreduce(counting, total, 2, MPI_INT, MPI_SUM, node);
    if (!failed && total[0] > 1 && total[1] == 0)
        failed = ct_mpi_compare(&own, node, kind, all);
    free(own.list);
    *share = all[1] < all[0] ? all[1] / all[0] : 1;
    if (failed)
        return CT_EIO;
    return total[0] > 1 && total[1] > 0 ? CT_ENOENT : CT_OK;
}

/* ---- This rank's part ---- */

/* The least that a rank without a forecast adds to a forecast: the energy that it used. It adds nothing to what
   remains. */
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

/* ct_value. A rank that measures all its energy has no interval: "/usage/energy_low_j" then is "/usage/energy_j". */
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

/* One rank's part of the run's number. */
struct ct_mpi_part {
    ct_status status; /* of ct_value */
    double value;     /* what this rank adds to a sum */
};

/*
 * This rank's part, CT_EINVAL unless this rank's arguments are valid. Collective over `node`; returns CT_EIO if MPI
 * failed. The number is read before the list of devices, and both cover the same devices: ranks that share a record
 * list none.
 */
static inline ct_status ct_mpi_part_of(ct_tracker *tracker, MPI_Comm node, const char *pointer, int is_valid,
                                       struct ct_mpi_part *part)
{
    const enum ct_mpi_rule rule = ct_mpi_rule_of(pointer);
    double share = 1;
    ct_status shared;
    part->value = 0;
    part->status = rule == CT_MPI_NONE || !is_valid ? CT_EINVAL : ct_mpi_end(tracker, pointer, &part->value);
    if (rule != CT_MPI_SUM)
        return CT_OK;
    if (part->status != CT_OK)
        part->value = ct_mpi_least(tracker, pointer);
    shared = ct_mpi_share(tracker, node, ct_mpi_kind_of(pointer), &share);
    part->value *= share;
    if (shared == CT_ENOENT) {
        part->status = part->status == CT_OK ? CT_ENOENT : part->status;
        part->value = 0;
    }
    return shared == CT_EIO ? CT_EIO : CT_OK;
}

/* ---- The run's number ---- */

/*
 * ct_mpi_value, with the ranks of this node as `node`. It asks each rank after all ranks of `comm` are here. Before
 * that, a rank's epoch may be open, and a rank that waits may still take over what another one counts.
 */
static inline ct_status ct_mpi_over(ct_tracker *tracker, MPI_Comm comm, MPI_Comm node, const char *pointer, double *out,
                                    int *missing)
{
    /* The highest answer of a rank is the run's: an invalid call before a known number, a known number before a
       failure. */
    const double invalid = 1000, is_known = 500, none = -1e300;
    const enum ct_mpi_rule rule = ct_mpi_rule_of(pointer);
    struct ct_mpi_part part;
    double sum[2], sums[2], top[2], tops[2];
    int me, known, node_knows;
    if (ct_mpi_part_of(tracker, node, pointer, out != NULL, &part) != CT_OK || MPI_Comm_rank(node, &me))
        return CT_EIO;
    known = part.status == CT_OK;
    if (MPI_Allreduce(&known, &node_knows, 1, MPI_INT, MPI_MAX, node))
        return CT_EIO;
    sum[0] = part.value;
    sum[1] = me == 0 && !node_knows;
    top[0] = !known ? none : rule == CT_MPI_LEAST ? -part.value : part.value;
    top[1] = part.status == CT_EINVAL ? invalid : known ? is_known : -(double)part.status;
    if (MPI_Allreduce(sum, sums, 2, MPI_DOUBLE, MPI_SUM, comm) || MPI_Allreduce(top, tops, 2, MPI_DOUBLE, MPI_MAX, comm))
        return CT_EIO;
    if (tops[1] >= invalid)
        return CT_EINVAL;
    if (tops[1] < is_known)
        return (ct_status)-(int)tops[1];
    *out = rule == CT_MPI_SUM || rule == CT_MPI_COUNT ? sums[0] : rule == CT_MPI_LEAST ? 0 - tops[0] : tops[0];
    if (missing != NULL)
        *missing = rule == CT_MPI_LEAST ? 0 : (int)sums[1];
    return CT_OK;
}

#endif /* CARBONTRACKER_MPI_SUM_H */
