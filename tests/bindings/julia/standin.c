/* A stand-in for the library, for the Julia package: with another ABI version, or strict and slow. It aborts at a call
 * on an ended tracker, and at an end during a call. On request, calls that may wait do so until they are released, for
 * 5 s at most. */

#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef ABI
#define ABI 0
#endif

typedef struct {
    atomic_int calls, ended;
} tracker_t;

static void refuse(const char *what) {
    fprintf(stderr, "standin: %s\n", what);
    abort();
}

static atomic_int is_to_wait, waiting;

void standin_wait(int is_to) { is_to_wait = is_to; }
int standin_waiting(void) { return waiting; }

static void pass_time(void) {
    waiting++;
    for (int i = 0; i < 500 && is_to_wait; i++) usleep(10000);
    waiting--;
}

/* An ended tracker is never freed, so that late calls are detected. */
static int32_t call(tracker_t *t, int32_t status, int waits) {
    t->calls++;
    if (t->ended) refuse("a call on a tracker that has ended");
    if (waits) pass_time();
    if (t->ended) refuse("a tracker ended beside a call");
    t->calls--;
    return status;
}

static void end(tracker_t *t) {
    if (t->calls > 0) refuse("an end beside a call");
    if (t->ended++) refuse("a tracker ended twice");
}

uint32_t ct_abi_version(void) { return ABI; }
const char *ct_version(void) { return "0.0.1"; }
const char *ct_status_string(int32_t status) { return status < 0 ? "refused" : "done"; }

const char *ct_last_error(void) { return "refused"; }

int32_t ct_create(const char *options, tracker_t **out) {
    static atomic_int refused;
    if (strstr(options, "refused once") != NULL && refused++ == 0) return -5;
    pass_time();
    *out = calloc(1, sizeof **out);
    return 0;
}

int32_t ct_epoch_begin(tracker_t *t) { return call(t, 0, 0); }
int32_t ct_epoch_end(tracker_t *t) { return call(t, 0, 0); }
int32_t ct_epoch_cancel(tracker_t *t) { return call(t, 0, 0); }
int32_t ct_phase_begin(tracker_t *t, const char *name) { return call(t, name[0] == '\0' ? -1 : 0, 0); }
int32_t ct_phase_end(tracker_t *t) { return call(t, 0, 0); }
int32_t ct_progress(tracker_t *t, uint64_t done, uint64_t total) { return call(t, done > total ? -1 : 0, 0); }
int32_t ct_run_progress(tracker_t *t, double done, double total) { return call(t, done < 0 || total <= 0 ? -1 : 0, 0); }

int32_t ct_value(tracker_t *t, const char *pointer, double *out) {
    *out = (double)strlen(pointer);
    return call(t, 0, 1);
}

int32_t ct_text(tracker_t *t, const char *pointer, char *buf, size_t cap, size_t *needed) {
    *needed = strlen(pointer) + 1;
    if (cap >= *needed) strcpy(buf, pointer);
    return call(t, 0, 1);
}

int32_t ct_report(tracker_t *t, const char *format, char *buf, size_t cap, size_t *needed) {
    *needed = strlen(format) + 1;
    if (cap >= *needed) strcpy(buf, format);
    return call(t, 0, 1);
}

int32_t ct_message(tracker_t *t, char *buf, size_t cap, size_t *needed) {
    (void)buf, (void)cap, (void)needed;
    return call(t, -4, 0);
}

void ct_destroy(tracker_t *t) {
    end(t);
    pass_time();
}

void ct_release(tracker_t *t) { end(t); }
