/*
 * carbontracker: measures and forecasts the energy and the CO2e of a training or time loop.
 * Generated from capi/src/lib.rs by `make header`; edit there.
 *
 * Threads   Any thread may call; calls on one tracker are serialised, different trackers are independent.
 *           ct_destroy and ct_release come last: no other call on that tracker may run during or after them.
 *           Do not call from signal handlers. A tracker has one background thread, "ct-sampler". It has "ct-nvml"
 *           too if it uses that driver, "ct-log" if it writes files, and "ct-intensity" if a file or a live service
 *           provides carbon intensity by the hour. A few threads help at the start and end. All of them block all
 *           signals and never call the application.
 * NULL      A NULL tracker is a disabled tracker: every function accepts it and returns CT_DISABLED.
 *           ct_report and ct_message then write an empty text, and `needed` is 1.
 * Errors    A ct_status is 0: done; > 0: done, with a remark; < 0: failed, and nothing changed. ct_last_error()
 *           returns the reason, on the thread of the call. Out-parameters are written on CT_OK only: test for
 *           it before you use one (CT_DISABLED is positive and writes none); `needed` is also written on
 *           CT_ERANGE. Any call may return CT_EINVAL for a NULL or non-UTF-8 argument, CT_EFORK or CT_EPANIC.
 *           The library never prints, exits, aborts or raises a signal.
 * Text      UTF-8, terminated by NUL, in the caller's buffer. The caller never has to free memory.
 * Units     In every name: _s seconds, _j joules, _kwh kilowatt-hours, _w watts, _g grams of CO2e.
 * Fork      In a forked child a tracker of the parent returns CT_EFORK; create a new one there.
 */

#ifndef CARBONTRACKER_H
#define CARBONTRACKER_H

#include <stddef.h>
#include <stdint.h>
/* The version of this header; ct_version() returns the version of the loaded library. */
#define CT_VERSION_MAJOR 0
#define CT_VERSION_MINOR 1
#define CT_VERSION_PATCH 0
/* The ABI version, which is also the number in the SONAME. It changes when programs must be rebuilt. */
#define CT_ABI_VERSION 0

/** A tracked run; NULL is a disabled tracker. */
typedef struct ct_tracker ct_tracker;


/**
 * The result of a C function. The numbers are part of the C API: append only.
 */
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
enum ct_status : int32_t {
#else
enum {
#endif
  /**
   * The call succeeded.
   */
  CT_OK = 0,
  /**
   * The tracker is NULL, or CARBONTRACKER_DISABLE=1 is set: nothing was done.
   */
  CT_DISABLED = 1,
  /**
   * The epoch has ended, and the forecast, or the use so far, passes a budget.
   */
  CT_OVER_BUDGET = 2,
  /**
   * An argument or option is invalid.
   */
  CT_EINVAL = -1,
  /**
   * Wrong order of calls: an epoch is already open, or none is.
   */
  CT_ESTATE = -2,
  /**
   * The buffer is too small; `needed` is the required size.
   */
  CT_ERANGE = -3,
  /**
   * There is no such value, it is unknown, or no message is queued.
   */
  CT_ENOENT = -4,
  /**
   * The operating system refused a thread or memory.
   */
  CT_EIO = -5,
  /**
   * The tracker belongs to the parent process; this process was forked from it.
   */
  CT_EFORK = -6,
  /**
   * An internal error was caught; the tracker stays usable.
   */
  CT_EPANIC = -7
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ct_status ct_status;
#else
typedef int32_t ct_status;
#endif /* __STDC_VERSION__ >= 202311L */
#endif /* __cplusplus */

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

/**
 * Makes a tracker and starts its sampling thread. It takes less than 5 ms, and with `resume` also the time to read the
 * journal. It reads each device once, and waits up to 250 ms for a file of /sys or /proc that does not answer. It
 * makes relative paths in the options absolute. No thread can start in the constructor of a library that is being
 * loaded: there, the call takes up to 0.25 s longer per thread, and energy is read once the library is loaded.
 *
 * `options` holds `key=value` pairs separated by white space. Values with spaces are in single quotes, with `\'` and
 * `\\` inside. If a key appears twice, the last value wins. Each key can also be set as the environment variable
 * CARBONTRACKER_<KEY>; the string overrides the environment. NULL or "" uses the environment and the defaults.
 * docs/src/reference/options.md lists the keys. An unknown CARBONTRACKER_ variable has no effect; a message names it.
 *
 * CT_OK: `*out` is the tracker; end it with ct_destroy or ct_release. CT_DISABLED: CARBONTRACKER_DISABLE is set (to
 * anything but 0, no, false or off), and `*out` is NULL, which every function accepts. CT_EINVAL: a key is unknown or
 * a value is bad; ct_last_error() names the key or variable, the value and the allowed values. CT_EIO: no thread could
 * be started, or too little memory is left.
 *
 * If no device can be measured, the call still succeeds: durations are recorded, energies are null, and a message
 * explains how to enable measurement. A thread that calls the library needs at least 32 KB of stack.
 */
ct_status ct_create(const char *options,
                    ct_tracker **out);

/**
 * Begins an epoch. It stamps the clock and returns: it reads no device and allocates nothing.
 *
 * CT_ESTATE: an epoch is already open; nothing changed. The report's notes count such refused calls, and those of
 * ct_epoch_end, ct_epoch_cancel, ct_progress and ct_run_progress. The first of each kind also makes a message.
 */
ct_status ct_epoch_begin(ct_tracker *tracker);

/**
 * Ends the open epoch. It stamps the clock and returns, and costs as little as ct_epoch_begin.
 *
 * CT_OVER_BUDGET: the epoch ended, and the run passes budget_kwh, budget_g or budget_h. Its use does, or the lower end
 * of the forecast does after two epochs in a row. With a budget, the call waits a few milliseconds for the epoch's
 * last reading, so the verdict is on this epoch. In all, such waits take 1 s and a hundredth of the run's time at
 * most. CT_ESTATE: no epoch is open.
 */
ct_status ct_epoch_end(ct_tracker *tracker);

/**
 * Cancels the open epoch, for example after an exception. It is not counted as an epoch, and the forecast ignores it.
 * Its energy counts as energy between epochs once a later epoch ends.
 *
 * CT_ESTATE: no epoch is open.
 */
ct_status ct_epoch_cancel(ct_tracker *tracker);

/**
 * Begins a named phase, such as "assembly" or "forward". Phases may be nested, in epochs and outside them. It costs as
 * little as ct_epoch_begin, and allocates only at the first begin of a phase. One thread marks a tracker's phases.
 *
 * The report's section "/phases" has time and energy of each phase, with the phases within it and without them:
 * "/phases/rows/solve/energy_j", or "/phases/rows/step~1solve/energy_j" for a phase in "step". A phase of 20 ms or
 * more is measured. The energy of shorter ones follows from a model, over many repetitions, with a 90 % interval. A
 * run has 253 different phases at most, by name and place; the energy of more is that of the phase "other".
 *
 * `name` has 1 to 128 bytes of UTF-8. CT_EINVAL: it does not. CT_ESTATE: 64 phases are open already. Nothing changes
 * then.
 */
ct_status ct_phase_begin(ct_tracker *tracker,
                         const char *name);

/**
 * Ends the innermost open phase.
 *
 * CT_ESTATE: no phase is open; nothing changed.
 */
ct_status ct_phase_end(ct_tracker *tracker);

/**
 * Reports the progress of the open epoch: `done` of `total` batches or time steps since its begin. It stores the
 * progress and a time stamp in one word, so it can be called after every batch. If `epochs` is set, progress in the
 * first epoch allows a forecast ("/forecast") from 5 % of that epoch on, and separates its warm-up from its steady
 * pace.
 *
 * CT_EINVAL: `total` is 0, or less than `done`. CT_ESTATE: no epoch is open.
 */
ct_status ct_progress(ct_tracker *tracker,
                      uint64_t done,
                      uint64_t total);

/**
 * Reports the progress of the whole run: `done` of `total`, in any unit, such as time steps, simulated time or tokens.
 * It needs no epochs, and may be called together with them. It stores three numbers and returns: it takes no lock, and
 * can be called after every step. Call it with `done` 0 at the start, or with the work of earlier attempts, and at the
 * end. `total` may change from call to call.
 *
 * If no epochs are marked, the run lasts from the first call to the last one. Its forecast ("/forecast") starts at 1 %
 * of the work, after two steps at least. With the option `epochs` and marked epochs, the forecast is made from the
 * epochs.
 *
 * CT_OVER_BUDGET: the progress is stored, and the run passes a budget. CT_EINVAL: `done` is below 0, `total` is not
 * above 0, or one of them is not finite. If `done` is less than before, the call is ignored, and a message reports the
 * first such call.
 */
ct_status ct_run_progress(ct_tracker *tracker,
                          double done,
                          double total);

/**
 * Reads one number of the JSON report by its JSON Pointer (RFC 6901): "/usage/energy_j", "/forecast/energy_j/high",
 * "/epochs/3/duration_s" (the fourth entry: one epoch, or several in a run of more than 4096 epochs). It waits up to
 * 1 s for the reading that closes the last epoch: a few milliseconds with counters, up to 0.1 s if the processor's
 * power is estimated. In the first epoch, a pointer below "/forecast" waits up to 0.3 s for the first forecast.
 *
 * If some energy is estimated, the true value lies between "/usage/error/low" and "/usage/error/high" times the
 * estimate in 90 % of cases. "/usage/energy_low_j" and "/usage/energy_high_j" are these bounds in joules; kWh and CO2e
 * have theirs. All of them are null if all energy is measured.
 *
 * A list's pointer with "/length" after it is the number of its entries: "/epochs/length", "/components/length".
 *
 * CT_ENOENT: there is no such number yet, or it is null (unknown); `*out` is unchanged. CT_EINVAL: no report has a
 * value at this pointer; ct_last_error() suggests another. CT_EIO: malloc reports too little memory.
 */
ct_status ct_value(ct_tracker *tracker,
                   const char *pointer,
                   double *out);

/**
 * Writes one value of the JSON report by its JSON Pointer: a text without quotes, such as "/intensity/zone" or
 * "/notes/0"; anything else as JSON, such as "/components" or "/usage". The pointer "" is the whole report. It waits
 * as ct_value does. The buffer works as in ct_report.
 *
 * CT_ENOENT: there is no such value yet, or it is null (unknown). CT_EINVAL: no report has a value at this pointer.
 * CT_ERANGE: the text did not fit. CT_EIO: malloc reports too little memory.
 */
ct_status ct_text(ct_tracker *tracker,
                  const char *pointer,
                  char *buf,
                  size_t cap,
                  size_t *needed);

/**
 * Writes the report in a format: "text", "line" (one line of at most 80 columns, for a progress bar), "json", "csv"
 * (one row per epoch), "phases" (CSV, one row per phase), "prometheus" or "html" (a page with charts). It waits up to
 * 1 s for the reading that closes the last epoch, and in the first epoch up to 0.3 s for the first forecast.
 *
 * The buffer works as in snprintf: as much as fits is written, with a NUL if cap > 0. `*needed` (may be NULL) becomes
 * the size of the whole text in bytes, including the NUL. CT_ERANGE: the text did not fit. CT_EINVAL: the format is
 * unknown. CT_EIO: too little memory is left.
 */
ct_status ct_report(ct_tracker *tracker,
                    const char *format,
                    char *buf,
                    size_t cap,
                    size_t *needed);

/**
 * Takes the oldest queued message: a warning, a forecast, or an exceeded budget. If none is queued, it waits a few
 * milliseconds for the reading that closes the last epoch, because that may make one. In all, such waits take 1 s and
 * a hundredth of the run's time at most. The buffer works as in ct_report. On CT_ERANGE the message stays queued.
 *
 * CT_ENOENT: the queue is empty.
 */
ct_status ct_message(ct_tracker *tracker,
                     char *buf,
                     size_t cap,
                     size_t *needed);

/**
 * Ends the tracker: it takes a last reading, joins the sampling thread and writes the run's files. It returns within
 * 250 ms even if a device hangs, and with log_dir within 2 s more if a disk hangs. If files of the run could not be
 * written, ct_last_error() names them. In the constructor of a library that is being loaded, it waits that long, and
 * the files are finished afterwards.
 *
 * A tracker that still exists when the process exits is ended as by ct_release, with up to 1 s of waiting. Its program
 * may have failed, so `forecast.saved` is null then. NULL is accepted. In a forked child the call does nothing. The
 * pointer must not be used afterwards.
 */
void ct_destroy(ct_tracker *tracker);

/**
 * Ends the tracker as ct_destroy does, but does not wait for its thread: for finalizers of garbage collectors.
 */
void ct_release(ct_tracker *tracker);

/**
 * Returns the message of this thread's last failure; "" if there was none. The text is valid until this thread's next
 * failure. A success does not clear it.
 */
const char *ct_last_error(void);

/**
 * Writes the message of the newest failed call with this tracker, on any thread. With NULL: of the newest failure
 * without a tracker in this process, such as that of ct_create. It is for languages whose tasks change threads between
 * two calls; ct_last_error() is exact for one thread. The buffer works as in ct_report. The call itself leaves the
 * message as it is.
 *
 * CT_ENOENT: no call has failed. CT_ERANGE: the text did not fit.
 */
ct_status ct_error(ct_tracker *tracker,
                   char *buf,
                   size_t cap,
                   size_t *needed);

/**
 * Returns a sentence for any status. The text is static.
 */
const char *ct_status_string(int32_t status);

/**
 * Returns the version of the loaded library, for example "0.1.0". The text is static.
 */
const char *ct_version(void);

/**
 * Returns the ABI version of the loaded library. Compare it with CT_ABI_VERSION after dlopen.
 */
uint32_t ct_abi_version(void);

#ifdef __cplusplus
}  /* extern "C" */
#endif  /* __cplusplus */

#endif  /* CARBONTRACKER_H */
