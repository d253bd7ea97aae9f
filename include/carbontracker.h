/*
 * carbontracker: measures, forecasts and prices the energy of a training or time loop.
 * Generated from capi/src/lib.rs by `make header`; edit there.
 *
 * Threads   Any thread may call; calls on one tracker are serialised, different trackers are independent.
 *           ct_destroy and ct_release come last: no other call on that tracker may run beside or after them.
 *           Do not call from signal handlers. A tracker has one background thread, "ct-sampler". It has "ct-nvml"
 *           too if it uses that driver, and "ct-intensity" if a file or a live service provides carbon intensity
 *           by the hour. These threads block all signals and never call the application.
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
enum ct_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif /* defined(__cplusplus) || __STDC_VERSION__ >= 202311L */
 {
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
 * Makes a tracker and starts its sampler. Takes well under 5 ms, and with `resume` what reading the journal takes; reads
 * the devices once. A file of /sys or /proc that does not answer is waited for 250 ms. Relative paths in the options
 * are resolved here. In a constructor of a library that is being loaded no thread can start: there the call takes up to
 * 0.25 s longer for each thread, and the energy is read once the library is loaded.
 *
 * `options` is `key=value` pairs separated by white space; values with spaces in single quotes,
 * with `\'` and `\\` inside. Each key is also an environment variable, CARBONTRACKER_<KEY>; the
 * string wins. NULL or "" takes the environment and the defaults. README.md lists the keys. A variable
 * CARBONTRACKER_... that nothing reads has no effect, and a message names it.
 *
 * CT_OK: `*out` is the tracker, for ct_destroy or ct_release. CT_DISABLED: CARBONTRACKER_DISABLE=1 (any value
 * but 0, no, false or off), `*out` is NULL, which every function takes. CT_EINVAL: an unknown key or bad value;
 * ct_last_error() names key or variable, value and what is allowed. CT_EIO: no thread could be started, or
 * too little memory is left. Finding no device to
 * measure is no failure: times are kept, energies are null, and a message says what would help.
 *
 * A thread that calls the library needs at least 32 KB of stack.
 */
ct_status ct_create(const char *options,
                    ct_tracker **out);

/**
 * Begins an epoch: stamps the clock and returns. No device is read, nothing is allocated.
 *
 * CT_ESTATE: an epoch is open already; nothing changed. The report's notes count such refused calls, and
 * those of ct_epoch_end, ct_epoch_cancel and ct_progress; the first of each kind makes a message.
 */
ct_status ct_epoch_begin(ct_tracker *tracker);

/**
 * Ends the epoch begun last: stamps the clock and returns, as cheap as ct_epoch_begin.
 *
 * CT_OVER_BUDGET: ended, and the run's forecast passes budget_kwh, budget_g or budget_h; it is judged
 * on the epochs whose readings are in, so it may come one epoch late. CT_ESTATE: no epoch is open.
 */
ct_status ct_epoch_end(ct_tracker *tracker);

/**
 * Drops the open epoch, as after an exception: it is not counted as an epoch and does not colour the
 * forecast. What it used counts as energy between epochs, once a later epoch ends.
 *
 * CT_ESTATE: no epoch is open.
 */
ct_status ct_epoch_cancel(ct_tracker *tracker);

/**
 * Says how far the open epoch is: `done` of `total` batches or time steps since its begin. It stamps the clock and stores
 * both in one word, so call it as often as you like. With `epochs` planned, marks in the first epoch give
 * "/forecast" from 5 % of it on, and tell its warm-up from its steady pace.
 *
 * CT_EINVAL: total is 0 or less than done. CT_ESTATE: no epoch is open.
 */
ct_status ct_progress(ct_tracker *tracker,
                      uint64_t done,
                      uint64_t total);

/**
 * Reads one number of the JSON report by its JSON Pointer (RFC 6901): "/usage/energy_j",
 * "/forecast/energy_j/high", "/epochs/3/duration_s" (the fourth entry: an epoch, or several in a run of
 * more than 4096). Waits up to 1 s for the reading that closes the last epoch: a few milliseconds with
 * counters, up to 0.1 s where the processor is estimated; inside the first epoch up to 0.3 s for the first
 * forecast that its progress gives, if "/forecast" is asked for.
 *
 * Where some of the energy is estimated, "/usage/error/low" and "/usage/error/high" are the multiples of it between
 * which the truth lies in nine cases of ten; "/usage/energy_low_j" and "/usage/energy_high_j" are these ends, and so on
 * for kWh and CO2e. They are null where all of it is measured.
 *
 * CT_ENOENT: there is no such number, or it is null (unknown); `*out` is untouched. CT_EIO: too little memory is
 * left, by malloc's account.
 */
ct_status ct_value(ct_tracker *tracker,
                   const char *pointer,
                   double *out);

/**
 * Writes the report as `format`: "text", "json", "csv" (a row an epoch), "prometheus" or "html" (a page with
 * charts). Waits up to 1 s for the reading that closes the last epoch, and inside the first as ct_value does for a
 * forecast.
 *
 * As snprintf: what fits is written, always with a NUL when cap > 0, and `*needed` (may be NULL)
 * becomes the bytes the whole takes, NUL included. CT_ERANGE: it did not fit. CT_EINVAL: no such format.
 * CT_EIO: too little memory is left.
 */
ct_status ct_report(ct_tracker *tracker,
                    const char *format,
                    char *buf,
                    size_t cap,
                    size_t *needed);

/**
 * Takes the oldest queued message: a warning, the forecast after `forecast_after` epochs, a budget
 * passed. Buffer rules as ct_report's; on CT_ERANGE the message stays queued.
 *
 * CT_ENOENT: none is queued.
 */
ct_status ct_message(ct_tracker *tracker, char *buf, size_t cap, size_t *needed);

/**
 * Ends the tracker: a last reading, the sampler joined, the run's files written. Back within 250 ms even where a device
 * hangs, and with log_dir within 2 s more where a disk does.
 * If files of the run could not be written, ct_last_error() names them.
 * In a constructor of a library that is being loaded it waits that long, and the files are finished afterwards.
 * A tracker that is live at exit is ended as by ct_release, and waited for 1 s.
 * NULL is fine. In a forked child it does nothing, on purpose. The pointer is not to be used again.
 */
void ct_destroy(ct_tracker *tracker);

/**
 * As ct_destroy, without waiting for the sampler: for garbage collectors' finalizers.
 */
void ct_release(ct_tracker *tracker);

/**
 * This thread's last failure in words; "" if there was none. The text stays until this thread's next
 * failure; a success does not clear it.
 */
const char *ct_last_error(void);

/**
 * The status in words, for any number. Static text.
 */
const char *ct_status_string(int32_t status);

/**
 * The loaded library's version, as "0.1.0". Static text.
 */
const char *ct_version(void);

/**
 * The loaded library's ABI version: compare with CT_ABI_VERSION after dlopen.
 */
uint32_t ct_abi_version(void);

#ifdef __cplusplus
}  /* extern "C" */
#endif  /* __cplusplus */

#endif  /* CARBONTRACKER_H */
