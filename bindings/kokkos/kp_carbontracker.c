/*
 * libkp_carbontracker.so: a Kokkos Tools connector. Kokkos loads it if KOKKOS_TOOLS_LIBS names it. An epoch is a
 * profiling region: each region named by CARBONTRACKER_KOKKOS_REGION, or each outermost one if that is not set. Without
 * regions the whole run is one epoch. See ../relink/README.md.
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
void kokkosp_finalize_library(void);

static ct_tracker *tracker;
static char region[256];     /* "": the outermost regions */
static bool is_whole = true; /* no region has begun yet: the open epoch covers the whole run */
static bool is_open;

/* Regions nest on each thread. One epoch is open at a time; the thread and region that began it end it. */
static __thread unsigned depth, depth_of_epoch;

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
    is_open = ct_epoch_begin(tracker) == CT_OK;
}

/* Requests no fences. Kernels may run across the ends of regions, and a fence there would change the measured
   program. */
void kokkosp_request_tool_settings(uint32_t count, struct Kokkos_Tools_ToolSettings *settings)
{
    if (count > 0)
        settings->requires_global_fencing = false;
}

void kokkosp_push_profile_region(const char *name)
{
    depth++;
    if (region[0] == '\0' ? depth > 1 : strcmp(name, region) != 0)
        return;
    if (__atomic_exchange_n(&is_whole, false, __ATOMIC_SEQ_CST)) {
        ct_epoch_cancel(tracker); /* time before the first region counts as between epochs */
        __atomic_store_n(&is_open, false, __ATOMIC_SEQ_CST);
    }
    if (!__atomic_exchange_n(&is_open, true, __ATOMIC_SEQ_CST)) {
        ct_epoch_begin(tracker);
        depth_of_epoch = depth;
    }
}

/* Ignores a pop without a push. */
void kokkosp_pop_profile_region(void)
{
    if (depth == 0)
        return;
    if (depth == depth_of_epoch) {
        depth_of_epoch = 0;
        ct_epoch_end(tracker);
        __atomic_store_n(&is_open, false, __ATOMIC_SEQ_CST);
        take_messages(true);
    }
    depth--;
}

void kokkosp_finalize_library(void)
{
    if (tracker == NULL || getpid() != exit_report.process)
        return;
    if (is_open)
        ct_epoch_end(tracker); /* the whole run, or a region left open */
    take_messages(true);
    if (is_whole && region[0] != '\0')
        exit_report_line("no region has this name, so the whole run is one epoch", region);
    exit_report_send(tracker);
    ct_destroy(tracker);
    tracker = NULL;
}
