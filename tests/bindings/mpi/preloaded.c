/*
 * If preloaded, it makes every text of the library unreadable: sums over ranks must not depend on texts. If OLDER is in
 * the environment, the library does not identify devices, as in version 0.1.0.
 */
#define _GNU_SOURCE 1
#include <carbontracker.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

ct_status ct_report(ct_tracker *tracker, const char *format, char *buf, size_t cap, size_t *needed)
{
    (void)tracker;
    (void)format;
    if (needed != NULL)
        *needed = 2;
    if (buf == NULL || cap < 2)
        return CT_ERANGE;
    buf[0] = '?';
    buf[1] = '\0';
    return CT_OK;
}

ct_status ct_value(ct_tracker *tracker, const char *pointer, double *out)
{
    ct_status (*next)(ct_tracker *, const char *, double *);
    *(void **)&next = dlsym(RTLD_NEXT, "ct_value");
    if (getenv("OLDER") != NULL && pointer != NULL && strstr(pointer, "/identity/") != NULL)
        return CT_ENOENT;
    return next(tracker, pointer, out);
}
