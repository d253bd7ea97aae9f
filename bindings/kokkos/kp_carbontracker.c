/*
 * libkp_carbontracker.so: a Kokkos Tools connector. Kokkos loads it if KOKKOS_TOOLS_LIBS names it. An epoch is a
 * profiling region: each region named by CARBONTRACKER_KOKKOS_REGION, or each outermost one if that is not set. Without
 * regions the whole run is one epoch. CARBONTRACKER_KOKKOS_PHASES makes phases of the other regions, and of kernels too.
 * See ../relink/README.md.
 */
#include "../relink/exit_report.h"

#include <stdbool.h>

/* As Kokkos declares it. */
struct Kokkos_Tools_ToolSettings {
    bool requires_global_fencing;
    bool padding[255];
};

void kokkosp_init_library(int sequence, uint64_t interface, uint32_t devices, void *device);
void kokkosp_request_tool_settings(uint32_t count, struct Kokkos_Tools_ToolSettings *settings);
void kokkosp_push_profile_region(const char *name);
void kokkosp_pop_profile_region(void);
void kokkosp_begin_parallel_for(const char *name, uint32_t device, uint64_t *kernel);
void kokkosp_begin_parallel_reduce(const char *name, uint32_t device, uint64_t *kernel);
void kokkosp_begin_parallel_scan(const char *name, uint32_t device, uint64_t *kernel);
void kokkosp_end_parallel_for(uint64_t kernel);
void kokkosp_end_parallel_reduce(uint64_t kernel);
void kokkosp_end_parallel_scan(uint64_t kernel);
void kokkosp_finalize_library(void);

/* What becomes a phase. */
enum phases { NOTHING, REGIONS, REGIONS_AND_KERNELS };
enum { MAX_PHASE_NAME = 128 }; /* bytes, as ct_phase_begin takes */

static ct_tracker *tracker;
static char region[256];     /* "": the outermost regions */
static bool is_whole = true; /* no region has begun yet: the open epoch covers the whole run */
static bool is_open;
static enum phases phases;

/* Regions nest on each thread. One epoch is open at a time; the thread and region that began it end it. */
static __thread unsigned depth, depth_of_epoch;

/* One thread marks phases: that of Kokkos::initialize. Bit N - 1 of `phases_open`: the region at depth N is a phase. */
static __thread bool marks_phases;
static __thread uint64_t phases_open;

static enum phases chosen_phases(void)
{
    const char *chosen = exit_report_variable("CARBONTRACKER_KOKKOS_PHASES");
    if (chosen == NULL)
        return NOTHING;
    return strcmp(chosen, "regions") == 0 ? REGIONS : strcmp(chosen, "kernels") == 0 ? REGIONS_AND_KERNELS : NOTHING;
}

/* Begins a phase; returns whether it is open. A long name, such as that of a template, is cut. */
static bool begin_phase(const char *name)
{
    char cut[MAX_PHASE_NAME + 1];
    size_t length = strlen(name);
    if (!marks_phases || tracker == NULL)
        return false;
    if (length <= MAX_PHASE_NAME)
        return ct_phase_begin(tracker, name) == CT_OK;
    length = MAX_PHASE_NAME;
    while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80) /* within a character of UTF-8 */
        length--;
    memcpy(cut, name, length);
    cut[length] = '\0';
    return ct_phase_begin(tracker, cut) == CT_OK;
}

static uint64_t phase_bit(void)
{
    return depth >= 1 && depth <= 64 ? (uint64_t)1 << (depth - 1) : 0;
}

/* Takes all queued messages. If `prints`, rank 0 prints them. */
static void take_messages(bool prints)
{
    char message[2048];
    while (ct_message(tracker, message, sizeof message, NULL) == CT_OK)
        if (prints && exit_report.rank <= 0)
            exit_report_line(message, "");
}

void kokkosp_init_library(int sequence, uint64_t interface, uint32_t devices, void *device)
{
    const char *name;
    (void)sequence, (void)interface, (void)devices, (void)device;
    tracker = exit_report_create("");
    take_messages(false); /* the report contains them, too */
    name = exit_report_variable("CARBONTRACKER_KOKKOS_REGION");
    snprintf(region, sizeof region, "%s", name == NULL ? "" : name);
    phases = chosen_phases();
    marks_phases = phases != NOTHING;
    name = exit_report_variable("CARBONTRACKER_KOKKOS_PHASES");
    if (name != NULL && phases == NOTHING)
        exit_report_line("CARBONTRACKER_KOKKOS_PHASES is regions or kernels; no phases are marked", name);
    is_open = ct_epoch_begin(tracker) == CT_OK;
}

/* Requests no fences. Kernels may run across the ends of regions, and a fence there would change the measured program.
   Only phases of kernels need fences: without them, a kernel on a GPU ends after its begin and end on the host. */
void kokkosp_request_tool_settings(uint32_t count, struct Kokkos_Tools_ToolSettings *settings)
{
    if (count > 0)
        settings->requires_global_fencing = chosen_phases() == REGIONS_AND_KERNELS;
}

/* Begins an epoch if this region is one and none is open. */
static bool begin_epoch(const char *name)
{
    if (region[0] == '\0' ? depth > 1 : strcmp(name, region) != 0)
        return false;
    if (__atomic_exchange_n(&is_whole, false, __ATOMIC_SEQ_CST)) {
        ct_epoch_cancel(tracker); /* time before the first region counts as between epochs */
        __atomic_store_n(&is_open, false, __ATOMIC_SEQ_CST);
    }
    if (__atomic_exchange_n(&is_open, true, __ATOMIC_SEQ_CST))
        return false;
    ct_epoch_begin(tracker);
    depth_of_epoch = depth;
    return true;
}

void kokkosp_push_profile_region(const char *name)
{
    depth++;
    if (!begin_epoch(name) && phase_bit() != 0 && begin_phase(name))
        phases_open |= phase_bit();
}

/* Ignores a pop without a push. */
void kokkosp_pop_profile_region(void)
{
    if (depth == 0)
        return;
    if ((phases_open & phase_bit()) != 0) {
        phases_open &= ~phase_bit();
        ct_phase_end(tracker);
    }
    if (depth == depth_of_epoch) {
        depth_of_epoch = 0;
        ct_epoch_end(tracker);
        __atomic_store_n(&is_open, false, __ATOMIC_SEQ_CST);
        take_messages(true);
    }
    depth--;
}

/* The number of a kernel is whether it is a phase. */
static void begin_kernel(const char *name, uint64_t *kernel)
{
    *kernel = phases == REGIONS_AND_KERNELS && begin_phase(name);
}

static void end_kernel(uint64_t kernel)
{
    if (kernel != 0 && marks_phases)
        ct_phase_end(tracker);
}

void kokkosp_begin_parallel_for(const char *name, uint32_t device, uint64_t *kernel)
{
    (void)device;
    begin_kernel(name, kernel);
}

void kokkosp_begin_parallel_reduce(const char *name, uint32_t device, uint64_t *kernel)
{
    (void)device;
    begin_kernel(name, kernel);
}

void kokkosp_begin_parallel_scan(const char *name, uint32_t device, uint64_t *kernel)
{
    (void)device;
    begin_kernel(name, kernel);
}

void kokkosp_end_parallel_for(uint64_t kernel)
{
    end_kernel(kernel);
}

void kokkosp_end_parallel_reduce(uint64_t kernel)
{
    end_kernel(kernel);
}

void kokkosp_end_parallel_scan(uint64_t kernel)
{
    end_kernel(kernel);
}

void kokkosp_finalize_library(void)
{
    if (tracker == NULL || getpid() != exit_report.process)
        return;
    for (; phases_open != 0; phases_open &= phases_open - 1)
        ct_phase_end(tracker); /* a region left open */
    if (is_open)
        ct_epoch_end(tracker); /* the whole run, or a region left open */
    take_messages(true);
    if (is_whole && region[0] != '\0')
        exit_report_line("no region has this name, so the whole run is one epoch", region);
    exit_report_send(tracker);
    ct_destroy(tracker);
    tracker = NULL;
}
