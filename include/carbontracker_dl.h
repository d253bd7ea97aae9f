/*
 * carbontracker without a link: the functions of carbontracker.h in one file, for a program that must build and run where
 * the library is not installed. Copy this file into the program and include it in place of carbontracker.h.
 *
 * C99 or C++11. On systems with glibc before 2.34 link with -ldl.
 *
 * Library   The first call loads the library that CARBONTRACKER_LIB names, or else libcarbontracker.so.0, by dlopen. A
 *           program with the rights of another user ignores the variable.
 * Without   If there is no library, or a wrong one, ct_create returns CT_DISABLED and a NULL tracker, which all functions
 *           accept. ct_last_error() then has the reason. Nothing is printed. The library does not exist for Windows.
 * Calls     carbontracker.h documents each. A call costs one more load and jump than in a linked program.
 * Threads   As in carbontracker.h.
 */

#ifndef CARBONTRACKER_DL_H
#define CARBONTRACKER_DL_H
#ifdef CARBONTRACKER_H
#error "include carbontracker.h or carbontracker_dl.h, not both"
#endif
#define CARBONTRACKER_H /* this file has all of it */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <dlfcn.h>
#include <poll.h>
#include <unistd.h>
#endif

#define CT_VERSION_MAJOR 0
#define CT_VERSION_MINOR 1
#define CT_VERSION_PATCH 0
#define CT_ABI_VERSION 0

typedef struct ct_tracker ct_tracker;
#ifdef __cplusplus
enum ct_status : int32_t {
#else
typedef int32_t ct_status;
enum {
#endif
    CT_OK = 0,
    CT_DISABLED = 1,
    CT_OVER_BUDGET = 2,
    CT_EINVAL = -1,
    CT_ESTATE = -2,
    CT_ERANGE = -3,
    CT_ENOENT = -4,
    CT_EIO = -5,
    CT_EFORK = -6,
    CT_EPANIC = -7
};

/* In C++ all translation units share one copy. Its names differ from those of the library, which are C names. */
#ifdef __cplusplus
#define CT_DL_FUNCTION inline
#elif defined(__GNUC__)
#define CT_DL_FUNCTION static inline __attribute__((unused))
#else
#define CT_DL_FUNCTION static inline
#endif

/* How far the first call is. */
enum { CT_DL_NEW, CT_DL_LOADED, CT_DL_MISSING };
#if defined(__GNUC__)
#define CT_DL_LOAD(state) __atomic_load_n(&(state), __ATOMIC_ACQUIRE)
#define CT_DL_STORE(state, value) __atomic_store_n(&(state), value, __ATOMIC_RELEASE)
#define CT_DL_TAKE(owner, seen, process) \
    __atomic_compare_exchange_n(&(owner), &(seen), process, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#else /* a compiler without these: the first call must come before other threads call */
#define CT_DL_LOAD(state) (state)
#define CT_DL_STORE(state, value) ((state) = (value))
#define CT_DL_TAKE(owner, seen, process) ((void)(seen), (owner) = (process), 1)
#endif

/* The functions of a loaded library. */
struct ct_dl_library {
    ct_status (*create)(const char *, ct_tracker **);
    ct_status (*epoch_begin)(ct_tracker *);
    ct_status (*epoch_end)(ct_tracker *);
    ct_status (*epoch_cancel)(ct_tracker *);
    ct_status (*phase_begin)(ct_tracker *, const char *);
    ct_status (*phase_end)(ct_tracker *);
    ct_status (*progress)(ct_tracker *, uint64_t, uint64_t);
    ct_status (*run_progress)(ct_tracker *, double, double);
    ct_status (*value)(ct_tracker *, const char *, double *);
    ct_status (*text)(ct_tracker *, const char *, char *, size_t, size_t *);
    ct_status (*report)(ct_tracker *, const char *, char *, size_t, size_t *);
    ct_status (*message)(ct_tracker *, char *, size_t, size_t *);
    void (*destroy)(ct_tracker *);
    void (*release)(ct_tracker *);
    const char *(*last_error)(void);
    ct_status (*error)(ct_tracker *, char *, size_t, size_t *);
    const char *(*status_string)(int32_t);
    const char *(*version)(void);
    uint32_t (*abi_version)(void);
};

/* What the first call found. */
struct ct_dl_found {
    int state;
    struct ct_dl_library library;
    char reason[512];
};

#ifndef _WIN32
/* Finds one function. The standard has no conversion from an object's address to a function's; POSIX has. */
CT_DL_FUNCTION int ct_dl_find(void *handle, const char *name, void *function, size_t size)
{
    void *found = dlsym(handle, name);
    memcpy(function, &found, size);
    return found != NULL;
}

/* Loads the library. Returns 0, or writes the reason. */
CT_DL_FUNCTION int ct_dl_open(struct ct_dl_library *library, char *reason, size_t size)
{
    const char *named = getuid() == geteuid() && getgid() == getegid() ? getenv("CARBONTRACKER_LIB") : NULL;
    const char *path = named != NULL && named[0] != '\0' ? named : "libcarbontracker.so.0";
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *lacks = NULL;
    if (handle == NULL) {
        snprintf(reason, size, "carbontracker is not loaded: %s. Install it, or set CARBONTRACKER_LIB to its path",
                 dlerror());
        return -1;
    }
#define CT_DL_FIND(name) \
    if (!ct_dl_find(handle, "ct_" #name, &library->name, sizeof library->name)) \
    lacks = "ct_" #name
    if (!ct_dl_find(handle, "ct_abi_version", &library->abi_version, sizeof library->abi_version) ||
        !ct_dl_find(handle, "ct_version", &library->version, sizeof library->version)) {
        snprintf(reason, size, "%s is not carbontracker; correct CARBONTRACKER_LIB", path);
        dlclose(handle);
        return -1;
    }
    CT_DL_FIND(create);
    CT_DL_FIND(epoch_begin);
    CT_DL_FIND(epoch_end);
    CT_DL_FIND(epoch_cancel);
    CT_DL_FIND(phase_begin);
    CT_DL_FIND(phase_end);
    CT_DL_FIND(progress);
    CT_DL_FIND(run_progress);
    CT_DL_FIND(value);
    CT_DL_FIND(text);
    CT_DL_FIND(report);
    CT_DL_FIND(message);
    CT_DL_FIND(destroy);
    CT_DL_FIND(release);
    CT_DL_FIND(last_error);
    CT_DL_FIND(error);
    CT_DL_FIND(status_string);
#undef CT_DL_FIND
    if (lacks != NULL || library->abi_version() != CT_ABI_VERSION) {
        snprintf(reason, size,
                 "%s has version %s and ABI %u%s%s; this program was built for version %d.%d.%d and ABI %d: install that "
                 "library, or build the program with its carbontracker_dl.h",
                 path, library->version(), (unsigned)library->abi_version(), lacks != NULL ? " without " : "",
                 lacks != NULL ? lacks : "", CT_VERSION_MAJOR, CT_VERSION_MINOR, CT_VERSION_PATCH, CT_ABI_VERSION);
        dlclose(handle);
        return -1;
    }
    return 0; /* it stays loaded */
}
#endif

/* The state, which the first call makes. Other threads wait for it. A child that was forked meanwhile makes its own. */
CT_DL_FUNCTION const struct ct_dl_found *ct_dl_state(void)
{
    static struct ct_dl_found found;
#ifdef _WIN32
    snprintf(found.reason, sizeof found.reason, "carbontracker does not exist for Windows");
    CT_DL_STORE(found.state, CT_DL_MISSING);
#else
    static int owner; /* the process whose thread loads the library */
    while (CT_DL_LOAD(found.state) == CT_DL_NEW) {
        const int process = (int)getpid();
        int seen = CT_DL_LOAD(owner);
        if (seen != process && CT_DL_TAKE(owner, seen, process)) {
            const int failed = ct_dl_open(&found.library, found.reason, sizeof found.reason);
            CT_DL_STORE(found.state, failed ? CT_DL_MISSING : CT_DL_LOADED);
        } else {
            (void)poll(NULL, 0, 1); /* waits a millisecond */
        }
    }
#endif
    return &found;
}

/* The library; NULL: there is none. */
CT_DL_FUNCTION const struct ct_dl_library *ct_dl(void)
{
    const struct ct_dl_found *found = ct_dl_state();
    return found->state == CT_DL_LOADED ? &found->library : NULL;
}

/* Writes a text as the library does. */
CT_DL_FUNCTION ct_status ct_dl_write(const char *text, char *buf, size_t cap, size_t *needed, ct_status status)
{
    const size_t length = strlen(text);
    if (needed != NULL)
        *needed = length + 1;
    if (buf != NULL && cap > 0)
        snprintf(buf, cap, "%s", text);
    return length > 0 && (buf == NULL || length >= cap) ? (ct_status)CT_ERANGE : status;
}

CT_DL_FUNCTION ct_status ct_create(const char *options, ct_tracker **out)
{
    if (ct_dl() != NULL)
        return ct_dl()->create(options, out);
    if (out == NULL)
        return CT_EINVAL;
    *out = NULL;
    return CT_DISABLED;
}

/* A tracker that is not NULL comes from the library. */
CT_DL_FUNCTION ct_status ct_epoch_begin(ct_tracker *tracker)
{
    return tracker == NULL || ct_dl() == NULL ? (ct_status)CT_DISABLED : ct_dl()->epoch_begin(tracker);
}

CT_DL_FUNCTION ct_status ct_epoch_end(ct_tracker *tracker)
{
    return tracker == NULL || ct_dl() == NULL ? (ct_status)CT_DISABLED : ct_dl()->epoch_end(tracker);
}

CT_DL_FUNCTION ct_status ct_epoch_cancel(ct_tracker *tracker)
{
    return tracker == NULL || ct_dl() == NULL ? (ct_status)CT_DISABLED : ct_dl()->epoch_cancel(tracker);
}

CT_DL_FUNCTION ct_status ct_phase_begin(ct_tracker *tracker, const char *name)
{
    return tracker == NULL || ct_dl() == NULL ? (ct_status)CT_DISABLED : ct_dl()->phase_begin(tracker, name);
}

CT_DL_FUNCTION ct_status ct_phase_end(ct_tracker *tracker)
{
    return tracker == NULL || ct_dl() == NULL ? (ct_status)CT_DISABLED : ct_dl()->phase_end(tracker);
}

CT_DL_FUNCTION ct_status ct_progress(ct_tracker *tracker, uint64_t done, uint64_t total)
{
    return tracker == NULL || ct_dl() == NULL ? (ct_status)CT_DISABLED : ct_dl()->progress(tracker, done, total);
}

CT_DL_FUNCTION ct_status ct_run_progress(ct_tracker *tracker, double done, double total)
{
    return tracker == NULL || ct_dl() == NULL ? (ct_status)CT_DISABLED : ct_dl()->run_progress(tracker, done, total);
}

CT_DL_FUNCTION ct_status ct_value(ct_tracker *tracker, const char *pointer, double *out)
{
    return tracker == NULL || ct_dl() == NULL ? (ct_status)CT_DISABLED : ct_dl()->value(tracker, pointer, out);
}

CT_DL_FUNCTION ct_status ct_text(ct_tracker *tracker, const char *pointer, char *buf, size_t cap, size_t *needed)
{
    if (tracker == NULL || ct_dl() == NULL)
        return ct_dl_write("", buf, cap, needed, CT_DISABLED);
    return ct_dl()->text(tracker, pointer, buf, cap, needed);
}

CT_DL_FUNCTION ct_status ct_report(ct_tracker *tracker, const char *format, char *buf, size_t cap, size_t *needed)
{
    if (tracker == NULL || ct_dl() == NULL)
        return ct_dl_write("", buf, cap, needed, CT_DISABLED);
    return ct_dl()->report(tracker, format, buf, cap, needed);
}

CT_DL_FUNCTION ct_status ct_message(ct_tracker *tracker, char *buf, size_t cap, size_t *needed)
{
    if (tracker == NULL || ct_dl() == NULL)
        return ct_dl_write("", buf, cap, needed, CT_DISABLED);
    return ct_dl()->message(tracker, buf, cap, needed);
}

CT_DL_FUNCTION void ct_destroy(ct_tracker *tracker)
{
    if (tracker != NULL && ct_dl() != NULL)
        ct_dl()->destroy(tracker);
}

CT_DL_FUNCTION void ct_release(ct_tracker *tracker)
{
    if (tracker != NULL && ct_dl() != NULL)
        ct_dl()->release(tracker);
}

CT_DL_FUNCTION const char *ct_last_error(void)
{
    return ct_dl() != NULL ? ct_dl()->last_error() : ct_dl_state()->reason;
}

CT_DL_FUNCTION ct_status ct_error(ct_tracker *tracker, char *buf, size_t cap, size_t *needed)
{
    if (ct_dl() == NULL)
        return ct_dl_write(ct_dl_state()->reason, buf, cap, needed, CT_OK);
    return ct_dl()->error(tracker, buf, cap, needed);
}

CT_DL_FUNCTION const char *ct_status_string(int32_t status)
{
    return ct_dl() != NULL ? ct_dl()->status_string(status) : "carbontracker is not loaded";
}

/* The version of the loaded library; "" without one. */
CT_DL_FUNCTION const char *ct_version(void)
{
    return ct_dl() != NULL ? ct_dl()->version() : "";
}

CT_DL_FUNCTION uint32_t ct_abi_version(void)
{
    return CT_ABI_VERSION; /* no other is loaded */
}

#undef CT_DL_FUNCTION
#undef CT_DL_LOAD
#undef CT_DL_STORE
#undef CT_DL_TAKE

#endif
