/*
 * Measures a whole program as one epoch and reports at its end, without a change to its source: link carbontracker_auto.o
 * and the library to it. README.md beside this file says more.
 *
 * Reports once, where the process that started ends by exit() or by returning from main: a forked child is silent, and so
 * is whatever ends by _exit, abort or a signal.
 */
#include "exit_report.h"

static ct_tracker *tracker;

static void end(void)
{
    ct_tracker *ended = tracker;
    if (ended == NULL || getpid() != exit_report.process)
        return;
    tracker = NULL;
    ct_epoch_end(ended);
    exit_report_send(ended);
    ct_destroy(ended);
}

#ifdef __GLIBC__
/* exit() first ends its thread's thread-locals, then calls what was registered, the newest first. The GPU driver, which
 * may take a second to load, registers later than `begin` and would be taken down before a last reading: so `end` is
 * registered once more, when the program is about to leave. */
extern int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *library);
extern void *__dso_handle;

static void leave(void *unused)
{
    (void)unused;
    atexit(end);
}
#endif

/* Before C++ constructors of ordinary priority. */
__attribute__((constructor(101))) static void begin(void)
{
    tracker = exit_report_create("epochs=1");
    if (tracker == NULL)
        return;
    atexit(end); /* where another thread than this calls exit() */
#ifdef __GLIBC__
    __cxa_thread_atexit_impl(leave, NULL, &__dso_handle);
#endif
    ct_epoch_begin(tracker);
}
