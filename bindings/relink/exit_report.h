/*
 * Shared by the two connectors that need no change of the program. It makes a tracker from the environment, and writes
 * its report at the end: to standard error, or to the file that CARBONTRACKER_REPORT names. Include it first, in one
 * source file.
 */
#ifndef EXIT_REPORT_H
#define EXIT_REPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <carbontracker.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Recorded at the start, because the program may change its environment, its working directory and its files. */
static struct {
    pid_t process;
    int rank; /* -1: not a rank of a parallel job, or of an unknown kind */
    char path[PATH_MAX];
    int file; /* standard error, or -1 */
    struct stat as; /* the identity of standard error */
} exit_report = {0, -1, "", -1, {0}};

/* The value of a variable; NULL if it is unset or empty, or if the program runs setuid or setgid. */
static const char *exit_report_variable(const char *name)
{
    const char *value = secure_getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* The rank that the launcher gave to this process; -1 if the library knows none. */
static int exit_report_rank(ct_tracker *tracker)
{
    double rank;
    return ct_value(tracker, "/run/rank", &rank) == CT_OK && rank <= INT_MAX ? (int)rank : -1;
}

/* Makes the path absolute and fills in {pid} and {rank}; "" if it is too long. */
static void exit_report_find_path(const char *template)
{
    const size_t cap = sizeof exit_report.path;
    size_t length = 0;
    int is_unique = 0;
    if (template[0] != '/' && getcwd(exit_report.path, cap - 1) != NULL) {
        strcat(exit_report.path, "/");
        length = strlen(exit_report.path);
    }
    while (*template != '\0' && length < cap) {
        const int is_rank = strncmp(template, "{rank}", 6) == 0, is_pid = strncmp(template, "{pid}", 5) == 0;
        if (is_rank || is_pid) {
            const int number = is_rank && exit_report.rank >= 0 ? exit_report.rank : (int)exit_report.process;
            length += (size_t)snprintf(exit_report.path + length, cap - length, "%d", number);
            template += is_rank ? 6 : 5;
            is_unique = 1;
        } else {
            exit_report.path[length++] = *template++;
        }
    }
    if (!is_unique && exit_report.rank > 0 && length < cap) /* otherwise ranks overwrite each other's file */
        length += (size_t)snprintf(exit_report.path + length, cap - length, ".%d", exit_report.rank);
    exit_report.path[length < cap ? length : 0] = '\0';
}

/* Whether a descriptor still refers to the standard error of the start. */
static int exit_report_is_same(int file)
{
    struct stat now;
    return file >= 0 && fstat(file, &now) == 0 && now.st_dev == exit_report.as.st_dev &&
           now.st_ino == exit_report.as.st_ino && now.st_rdev == exit_report.as.st_rdev;
}

/* Writes the whole text; returns 0 on failure. It blocks SIGPIPE, which would end the program if the reader is gone. */
static int exit_report_write(int file, const char *text)
{
    size_t left = strlen(text);
    int was_pending;
    struct timespec at_once = {0, 0};
    sigset_t pipe, before, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
    while (left > 0) {
        const ssize_t written = write(file, text, left);
        if (written < 0) {
            struct pollfd room = {file, POLLOUT, 0};
            if (errno == EINTR || (errno == EAGAIN && poll(&room, 1, 1000) > 0))
                continue;
            break;
        }
        text += written;
        left -= (size_t)written;
    }
    if (left > 0 && errno == EPIPE && !was_pending)
        while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR) {
        }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return left == 0;
}

/* Writes to the standard error of the start. The program may have closed it since, and reused its number for another
   file. */
static void exit_report_write_error(const char *text)
{
    const int file = exit_report_is_same(exit_report.file) ? exit_report.file : exit_report_is_same(2) ? 2 : -1;
    if (file >= 0)
        (void)exit_report_write(file, text);
}

/* Writes a line with the name of this tool. */
static void exit_report_line(const char *what, const char *why)
{
    char line[PATH_MAX + 1024];
    snprintf(line, sizeof line, "carbontracker: %s%s%s\n", what, why[0] == '\0' ? "" : ": ", why);
    exit_report_write_error(line);
}

/* Closes the copy of standard error in a child: a child that becomes a daemon must not keep its caller's file open. */
static void exit_report_forked(void)
{
    if (exit_report_is_same(exit_report.file))
        close(exit_report.file);
    exit_report.file = -1;
}

/* Makes a tracker from these options and the environment. If no name is set, it uses the program's. NULL: nothing is
   tracked. */
static ct_tracker *exit_report_create(const char *options)
{
    char all[1024];
    const char *name = program_invocation_short_name;
    size_t length;
    ct_tracker *tracker = NULL;
    exit_report.process = getpid();
    if (fstat(2, &exit_report.as) == 0)
        exit_report.file = fcntl(2, F_DUPFD_CLOEXEC, 100); /* above the program's own numbers */
    pthread_atfork(NULL, NULL, exit_report_forked);
    length = (size_t)snprintf(all, sizeof all, "%s", options);
    if (exit_report_variable("CARBONTRACKER_NAME") == NULL && *name != '\0') {
        length += (size_t)snprintf(all + length, sizeof all - length, " name='");
        for (; *name != '\0' && length + 4 < sizeof all; name++) {
            if (*name == '\'' || *name == '\\')
                all[length++] = '\\';
            all[length++] = *name;
        }
        all[length++] = '\'';
        all[length] = '\0';
    }
    /* Tries without the name, too: a bad name must not prevent measuring. */
    if (ct_create(all, &tracker) < 0 && ct_create(options, &tracker) < 0)
        exit_report_line("nothing is measured", ct_last_error());
    exit_report.rank = exit_report_rank(tracker);
    if (tracker != NULL && exit_report_variable("CARBONTRACKER_REPORT") != NULL)
        exit_report_find_path(exit_report_variable("CARBONTRACKER_REPORT"));
    return tracker;
}

/* The format of the report, by the ending of its file name. */
static const char *exit_report_format(void)
{
    const char *end = strrchr(exit_report.path, '.');
    if (end != NULL && strcmp(end, ".json") == 0)
        return "json";
    if (end != NULL && strcmp(end, ".csv") == 0)
        return "csv";
    if (end != NULL && strcmp(end, ".html") == 0)
        return "html";
    return end != NULL && strcmp(end, ".prom") == 0 ? "prometheus" : "text";
}

/* Writes the report. On standard error, a rank above 0 writes nothing if another rank counted its devices. */
static void exit_report_send(ct_tracker *tracker)
{
    double joules;
    size_t needed = 0;
    char *text = NULL;
    int file = -1, is_written = 0;
    if (exit_report.path[0] == '\0' && exit_report.rank > 0 && ct_value(tracker, "/usage/energy_j", &joules) != CT_OK)
        return;
    if (ct_report(tracker, exit_report_format(), NULL, 0, &needed) == CT_ERANGE)
        text = (char *)malloc(needed += 256);
    if (text == NULL || ct_report(tracker, exit_report_format(), text, needed, NULL) != CT_OK) {
        exit_report_line("no report", ct_last_error());
    } else if (exit_report.path[0] != '\0') {
        file = open(exit_report.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        is_written = file >= 0 && exit_report_write(file, text);
        if (!is_written)
            exit_report_line(exit_report.path, strerror(errno));
        if (file >= 0)
            close(file);
    }
    if (text != NULL && !is_written)
        exit_report_write_error(text);
    free(text);
}

#endif
