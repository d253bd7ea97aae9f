/* Simulates faster processes: just before this process creates a journal in a folder named "taken", another process
   takes its name. This happens to the first 20 names. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOST 20

static int lost;

static int is_journal(const char *path)
{
    size_t length = strlen(path);
    return strstr(path, "/taken/") != NULL && length > 6 && strcmp(path + length - 6, ".jsonl") == 0;
}

static int answer(const char *path, int flags, int mode)
{
    if ((flags & O_EXCL) && is_journal(path) && lost < LOST) {
        int other = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (other >= 0) {
            lost++;
            close(other);
        }
        errno = EEXIST;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)                                             \
    int name(const char *path, int flags, ...)                 \
    {                                                          \
        int mode = 0;                                          \
        if (flags & (O_CREAT | O_TMPFILE)) {                   \
            va_list list;                                      \
            va_start(list, flags);                             \
            mode = va_arg(list, int);                          \
            va_end(list);                                      \
        }                                                      \
        return answer(path, flags, mode);                      \
    }

OPEN(open)
OPEN(open64)
