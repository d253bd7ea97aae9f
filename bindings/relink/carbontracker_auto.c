/*
 * Measures a whole program as one epoch and reports at its end. The source does not change: link carbontracker_auto.o
 * and the library to the program. See README.md in this folder.
 *
 * It reports once, when the first process ends by exit() or returns from main. A forked child does not report. A
 * process that ends by _exit, abort or a signal does not report either.
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
/* exit() first destroys the thread-local objects of its thread, then calls the registered handlers, newest first. The
 * GPU driver may take a second to load. It registers its handler after `begin`, so it would shut down before the last
 * reading. So `leave`, a thread-local destructor, registers `end` once more when the program starts to exit. */
extern int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *library);
extern void *__dso_handle;

static void leave(void *unused)
{
    (void)unused;
    atexit(end);
}
#endif

/* Runs before C++ constructors of ordinary priority. */
__attribute__((constructor(101))) static void begin(void)
{
    tracker = exit_report_create("epochs=1");
    if (tracker == NULL)
        return;
    atexit(end); /* for a call of exit() on another thread */
#ifdef __GLIBC__
    __cxa_thread_atexit_impl(leave, NULL, &__dso_handle);
#endif
    ct_epoch_begin(tracker);
}
