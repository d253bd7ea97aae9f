/*
 * Shared by the programs here: checks that print their place and values, a clock, a fake device.
 * Include it first. It is valid in C99 and in C++11.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include <carbontracker.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition) check_that((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define CHECK_INT(actual, expected) check_int((long long)(actual), (long long)(expected), #actual, __FILE__, __LINE__)
#define CHECK_STATUS(call, expected) check_status((int)(call), (int)(expected), #call, __FILE__, __LINE__)
#define CHECK_BETWEEN(actual, low, high) check_between((actual), (low), (high), #actual, __FILE__, __LINE__)
#define CHECK_TEXT(actual, expected) check_text((actual), (expected), #actual, __FILE__, __LINE__)
#define CHECK_HAS(text, part) check_has((text), (part), #text, __FILE__, __LINE__)

#define CHECK_EPOCHS(tracker, done) check_epochs((tracker), (long)(done), __FILE__, __LINE__)

static inline void check_failed(const char *file, int line, const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* Ends by _exit: after a failure nothing else may run, above all no exit handlers of a forked child. */
static inline void check_failed(const char *file, int line, const char *format, ...) {
    va_list values;
    fflush(stdout);
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    fflush(stderr);
    _exit(EXIT_FAILURE);
}

static inline void check_that(int holds, const char *what, const char *file, int line) {
    if (!holds) check_failed(file, line, "does not hold: %s (errno %d: %s)", what, errno, strerror(errno));
}

static inline void check_int(long long actual, long long expected, const char *what, const char *file, int line) {
    if (actual != expected) check_failed(file, line, "%s is %lld, not %lld", what, actual, expected);
}

static inline void check_status(int actual, int expected, const char *what, const char *file, int line) {
    if (actual != expected) {
        check_failed(file, line, "%s is %d (%s), not %d (%s); last error: \"%s\"", what, actual, ct_status_string(actual), expected,
                     ct_status_string(expected), ct_last_error());
    }
}

static inline void check_between(double actual, double low, double high, const char *what, const char *file, int line) {
    /* A comparison with NaN is false. */
    if (actual >= low && actual <= high) return;
    /* Under valgrind time is distorted. Only memory is checked there. */
    if (low < high && getenv("CT_VALGRIND") != NULL) return;
    check_failed(file, line, "%s is %.17g, not from %.17g to %.17g", what, actual, low, high);
}

static inline void check_text(const char *actual, const char *expected, const char *what, const char *file, int line) {
    if (strcmp(actual, expected) != 0) check_failed(file, line, "%s is \"%s\", not \"%s\"", what, actual, expected);
}

static inline void check_has(const char *text, const char *part, const char *what, const char *file, int line) {
    if (strstr(text, part) == NULL) check_failed(file, line, "%s lacks \"%s\": \"%s\"", what, part, text);
}

/* The number of rounds of a loop: fewer under valgrind, which is twenty to fifty times slower. */
static inline int rounds(int natively) {
    return getenv("CT_VALGRIND") == NULL ? natively : natively / 50 + 1;
}

static inline double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static inline void sleep_ms(long ms) {
    struct timespec left;
    left.tv_sec = ms / 1000;
    left.tv_nsec = ms % 1000 * 1000000L;
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

static inline void print_to(char *out, size_t cap, const char *format, ...)
#ifdef __GNUC__
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* snprintf that must fit. */
static inline void print_to(char *out, size_t cap, const char *format, ...) {
    int length;
    va_list values;
    va_start(values, format);
    length = vsnprintf(out, cap, format, values);
    va_end(values);
    CHECK(length >= 0 && (size_t)length < cap);
}

static inline ct_tracker *create(const char *options) {
    ct_tracker *tracker = NULL;
    CHECK_STATUS(ct_create(options, &tracker), CT_OK);
    CHECK(tracker != NULL);
    return tracker;
}

static inline double value_of(ct_tracker *tracker, const char *pointer) {
    double value = 0.0;
    ct_status status = ct_value(tracker, pointer, &value);
    if (status != CT_OK) check_failed(__FILE__, __LINE__, "ct_value \"%s\" is %d: \"%s\"", pointer, (int)status, ct_last_error());
    return value;
}

/* The longest wait for a condition, s. A busy machine needs less. */
#define AWAIT_S 60.0

/* Waits until this many epochs are done. A value waits a second for the last reading, and a thread of a busy machine may need
 * longer. */
static inline void check_epochs(ct_tracker *tracker, long done, const char *file, int line) {
    const double deadline = now_s() + AWAIT_S;
    double value = value_of(tracker, "/run/epochs_done");
    while (value != (double)done && now_s() < deadline) {
        sleep_ms(1);
        value = value_of(tracker, "/run/epochs_done");
    }
    if (value != (double)done) check_failed(file, line, "%.0f epochs are done, not %ld", value, done);
}

/* The whole report; free() it. */
static inline char *report_of(ct_tracker *tracker, const char *format) {
    size_t cap = 1 << 16, needed = 0;
    char *text = NULL;
    ct_status status = CT_ERANGE;
    while (status == CT_ERANGE) {
        free(text);
        text = (char *)malloc(cap);
        CHECK(text != NULL);
        status = ct_report(tracker, format, text, cap, &needed);
        cap = needed + 256;
    }
    CHECK_STATUS(status, CT_OK);
    return text;
}

/* The number of entries in a folder. */
static inline int entries_of(const char *folder) {
    int count = 0;
    struct dirent *entry;
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') count++;
    }
    closedir(dir);
    return count;
}

/* A small file's text without its newline; 0 if it cannot be read. */
static inline int read_text(const char *path, char *out, size_t cap) {
    FILE *file = fopen(path, "r");
    size_t length;
    if (file == NULL) return 0;
    length = fread(out, 1, cap - 1, file);
    fclose(file);
    out[length] = '\0';
    if (length > 0 && out[length - 1] == '\n') out[length - 1] = '\0';
    return 1;
}

/* The id of the sampler's thread. The thread sets its own name, a moment after it starts. */
static inline int sampler_tid(void) {
    const double deadline = now_s() + AWAIT_S;
    while (now_s() < deadline) {
        int tid = 0;
        struct dirent *entry;
        DIR *dir = opendir("/proc/self/task");
        CHECK(dir != NULL);
        while (tid == 0 && (entry = readdir(dir)) != NULL) {
            char path[320], name[32];
            print_to(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
            if (read_text(path, name, sizeof name) && strcmp(name, "ct-sampler") == 0) tid = atoi(entry->d_name);
        }
        closedir(dir);
        if (tid != 0) return tid;
        sleep_ms(1);
    }
    check_failed(__FILE__, __LINE__, "no thread is called ct-sampler");
    return 0;
}

/* The text after `label` on its line of a thread's status. */
static inline void thread_status(int tid, const char *label, char *out, size_t cap) {
    char path[64], text[8192];
    const char *found;
    print_to(path, sizeof path, "/proc/self/task/%d/status", tid);
    CHECK(read_text(path, text, sizeof text));
    found = strstr(text, label);
    CHECK(found != NULL);
    found += strlen(label);
    print_to(out, cap, "%.*s", (int)strcspn(found, "\n"), found);
}

/* Waits for a child, which must succeed. */
static inline void check_child(pid_t child) {
    int status = 0;
    pid_t waited;
    CHECK(child > 0);
    do {
        waited = waitpid(child, &status, 0);
    } while (waited < 0 && errno == EINTR);
    CHECK_INT(waited, child);
    if (WIFSIGNALED(status)) check_failed(__FILE__, __LINE__, "the child was killed by signal %d", WTERMSIG(status));
    CHECK_INT(WEXITSTATUS(status), 0);
}

/* A package's energy counter as the kernel shows it, in a folder of the test: sysroot=<root>. */
struct powercap {
    char root[256];
    char zone[320];
};

/* Replaces a file of the zone in one step, so that no reader gets a part of a number. */
static inline void powercap_write(const struct powercap *tree, const char *file, const char *text) {
    char path[400], fresh[400];
    FILE *out;
    print_to(path, sizeof path, "%s/%s", tree->zone, file);
    print_to(fresh, sizeof fresh, "%s/.%s", tree->zone, file);
    out = fopen(fresh, "w");
    CHECK(out != NULL);
    CHECK(fputs(text, out) >= 0);
    CHECK(fclose(out) == 0);
    CHECK(rename(fresh, path) == 0);
}

/* Makes an empty folder for this test. */
static inline void make_folder(char *folder, size_t cap) {
    const char *temp = getenv("TMPDIR");
    print_to(folder, cap, "%s/ct-XXXXXX", temp == NULL ? "/tmp" : temp);
    CHECK(mkdtemp(folder) != NULL);
}

/* Removes a folder and the files in it. The thread that writes them may still finish some. */
static inline void remove_folder(const char *folder) {
    int tries;
    for (tries = 0; tries < 100; tries++) {
        struct dirent *entry;
        DIR *dir = opendir(folder);
        CHECK(dir != NULL);
        while ((entry = readdir(dir)) != NULL) {
            char path[600];
            print_to(path, sizeof path, "%s/%s", folder, entry->d_name);
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) remove(path);
        }
        closedir(dir);
        if (rmdir(folder) == 0) return;
        sleep_ms(100);
    }
    CHECK(!"the folder can be removed");
}

static inline void powercap_make(struct powercap *tree) {
    static const char *const folders[] = {"sys", "sys/class", "sys/class/powercap", "sys/class/powercap/intel-rapl:0"};
    size_t n;
    make_folder(tree->root, sizeof tree->root);
    for (n = 0; n < sizeof folders / sizeof *folders; n++) {
        print_to(tree->zone, sizeof tree->zone, "%s/%s", tree->root, folders[n]);
        CHECK(mkdir(tree->zone, 0700) == 0);
    }
    powercap_write(tree, "name", "package-0\n");
    powercap_write(tree, "max_energy_range_uj", "262143328850\n");
    powercap_write(tree, "energy_uj", "1000000\n");
}

static inline void powercap_remove(const struct powercap *tree) {
    static const char *const parts[] = {"/sys/class/powercap/intel-rapl:0/name", "/sys/class/powercap/intel-rapl:0/max_energy_range_uj",
                                        "/sys/class/powercap/intel-rapl:0/energy_uj", "/sys/class/powercap/intel-rapl:0/.energy_uj",
                                        "/sys/class/powercap/intel-rapl:0", "/sys/class/powercap", "/sys/class", "/sys", ""};
    size_t n;
    for (n = 0; n < sizeof parts / sizeof *parts; n++) {
        char path[400];
        print_to(path, sizeof path, "%s%s", tree->root, parts[n]);
        (void)remove(path);
    }
}

#endif
