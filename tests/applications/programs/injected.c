/*
 * injected WORKERS: makes each call of the library into libc fail in turn, once or from there on, in a new run and in
 * one that resumes a killed run. Needs inject.so preloaded, and a folder `tree` for sysroot=.
 *
 * Each run is a child process. The driver checks that
 *   - the child ends by itself, with status 0;
 *   - every ended epoch is in the journal, or the library reported a failure by a message, an error or a note; if the call
 *     fails after the last message was read, it is enough that the crash counter has the epoch;
 *   - a later process without faults resumes with the ended epochs, unless a failure was reported.
 * It prints a line "FAULT ..." for each run that breaks a rule.
 */
#include "check.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/shm.h>

enum { BEFORE = 2, EPOCHS = 3, PATIENCE_S = 60, MAX_CALLS = 100, WORDS = 64, FUNCTIONS = 100 };

#define OPTIONS "sysroot='%s/tree' components=node interval=0.01 location=DK job=injected-%d epochs=100 name=x log_dir=%s resume=%s"

static const char *(*inject_name)(int function);
static int (*inject_error)(int function, int which);
static void (*inject_arm)(int function, int error, long nth, int from);
static long (*inject_calls)(void);
static void (*inject_disarm)(void);

/* One run, in memory that the child and its parent share. */
struct run {
    int function, error, from, is_resumed;
    long nth;
    /* results of the child */
    int created, refused_calls, is_reported, is_early;
    long began_at, ended, calls, later;
    char words[400];
};

static struct shared {
    atomic_int next;
    atomic_long runs, faults, counted_only, reached[FUNCTIONS];
    /* The keys of messages and notes of runs without faults. */
    atomic_int known;
    char usual[WORDS][100];
} *shared;

static int worker;
static struct run *run;
static char root[300], folder[100], options[900], text[1 << 18];

/* The key of a message: its first three words that do not differ from run to run. */
static void key_of(const char *message, char *key, size_t cap) {
    size_t length = 0, words = 0;
    while (*message != '\0' && words < 3) {
        size_t word = strcspn(message, " "), n, is_plain = word > 0;
        for (n = 0; n < word; n++) is_plain &= strchr("/=0123456789", message[n]) == NULL;
        if (is_plain && length + word + 2 < cap) {
            memcpy(key + length, message, word);
            length += word;
            key[length++] = ' ';
            words++;
        }
        message += word + (message[word] == ' ');
    }
    key[length] = '\0';
}

static int is_usual(const char *message) {
    char key[100];
    int n;
    key_of(message, key, sizeof key);
    for (n = 0; n < atomic_load(&shared->known); n++) {
        if (strcmp(shared->usual[n], key) == 0) return 1;
    }
    return 0;
}

/* Messages of runs without faults are usual. In a run with a fault, any other message is a report of it. */
static void hear(const char *message) {
    /* A new run has this message too. In a run that should resume, it reports that the earlier run was not found. */
    if (run->is_resumed && strstr(message, "no unfinished run") != NULL) run->is_reported = 1;
    if (is_usual(message)) return;
    if (run->nth == 0) {
        key_of(message, shared->usual[atomic_fetch_add(&shared->known, 1)], sizeof *shared->usual);
        CHECK(atomic_load(&shared->known) < WORDS);
        return;
    }
    run->is_reported = 1;
    if (run->words[0] == '\0') snprintf(run->words, sizeof run->words, "%.300s", message);
}

/* Takes the notes of the report. */
static void hear_notes(char *report) {
    char *at = strstr(report, "\"notes\":["), *end;
    if (at == NULL) return;
    for (at += 9; *at == '"'; at = end + 1 + (end[1] == ',')) {
        for (end = ++at; *end != '"'; end++) end += *end == '\\';
        *end = '\0';
        hear(at);
    }
}

/* A call may fail with CT_EIO and a text. CT_EPANIC is allowed for getrandom alone: libc never answers EAGAIN there,
 * and the test uses it to make threads of the library panic. */
static void refused(const char *call, int status) {
    int is_panic = status == CT_EPANIC && strcmp(inject_name(run->function), "getrandom") == 0;
    if (status >= 0) return;
    if ((status == CT_EIO || is_panic) && ct_last_error()[0] != '\0') {
        run->is_reported = 1;
        return;
    }
    run->refused_calls++;
    snprintf(run->words, sizeof run->words, "%s: %d, \"%.200s\"", call, status, ct_last_error());
}

static void mark_epochs(ct_tracker *tracker, int count, int ms) {
    int n;
    for (n = 0; n < count; n++) {
        refused("ct_epoch_begin", ct_epoch_begin(tracker));
        if (ms > 0) sleep_ms(ms);
        if (ct_epoch_end(tracker) >= 0) run->ended++;
        else refused("ct_epoch_end", CT_ESTATE);
    }
}

/* The process that is killed first: its epochs may have no line yet. */
static void be_killed(void) {
    ct_tracker *tracker = create(options);
    mark_epochs(tracker, BEFORE, 0);
    _exit(0);
}

/* The process whose calls fail. */
static void be_faulted(void) {
    ct_tracker *tracker = NULL;
    double done = 0.0;
    inject_arm(run->function, run->error, run->nth, run->from);
    run->created = ct_create(options, &tracker);
    if (run->created < 0) {
        refused("ct_create", run->created);
    } else {
        const int status = ct_value(tracker, "/run/epochs_done", &done);
        if (status < 0) refused("ct_value", status);
        run->began_at = (long)done;
        mark_epochs(tracker, EPOCHS, 2);
        refused("ct_report", ct_report(tracker, "json", text, sizeof text, NULL));
        hear_notes(text);
        sleep_ms(10); /* the writer may still write the last line */
        run->is_early = inject_calls() >= run->nth;
        while (ct_message(tracker, text, sizeof text, NULL) == CT_OK) hear(text);
        ct_destroy(tracker);
    }
    run->calls = inject_calls();
    inject_disarm();
    exit(0);
}

/* A later process without faults. */
static void be_later(void) {
    ct_tracker *tracker = create(options);
    run->later = (long)value_of(tracker, "/run/epochs_done");
    ct_destroy(tracker);
    _exit(0);
}

/* Runs a process. NULL: it succeeded; else a text that describes its end. */
static const char *outcome_of(void (*body)(void), char *words, size_t cap) {
    double until = now_s() + PATIENCE_S;
    pid_t child = fork();
    int status;
    CHECK(child >= 0);
    if (child == 0) {
        alarm(0);
        body();
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (now_s() > until) {
            kill(child, SIGKILL);
            CHECK_INT(waitpid(child, &status, 0), child);
            snprintf(words, cap, "is still running after %d s", PATIENCE_S);
            return words;
        }
        usleep(200);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return NULL;
    if (WIFSIGNALED(status)) snprintf(words, cap, "is killed by signal %d", WTERMSIG(status));
    else snprintf(words, cap, "ends with status %d", WEXITSTATUS(status));
    return words;
}

/* The number of epochs that have a line in a journal. */
static long lines_of(const char *path, char *id, size_t cap) {
    FILE *file = fopen(path, "re");
    static char line[1 << 16];
    long epochs = 0, index, count;
    id[0] = '\0';
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        const char *named = strstr(line, "\"run\":{\"id\":\"");
        if (id[0] == '\0' && named != NULL) snprintf(id, cap, "%.16s", named + 13);
        if (sscanf(line, "{\"index\":%ld,\"count\":%ld,", &index, &count) == 2 && strstr(line, "}\n") != NULL) epochs += count;
    }
    fclose(file);
    return epochs;
}

/* The number of epochs in all journals, each run once; `left` names a temporary file that was left. */
static long written(char *left, size_t cap) {
    static char ids[8][32];
    long epochs[8] = {0}, all = 0;
    int runs = 0, n;
    struct dirent *entry;
    DIR *dir = opendir(folder);
    left[0] = '\0';
    if (dir == NULL) return 0;
    while ((entry = readdir(dir)) != NULL) {
        char path[400], id[32];
        long lines;
        if (entry->d_name[0] == '.' && strlen(entry->d_name) > 2) print_to(left, cap, "%s", entry->d_name);
        if (strstr(entry->d_name, ".jsonl") == NULL) continue;
        print_to(path, sizeof path, "%s/%s", folder, entry->d_name);
        lines = lines_of(path, id, sizeof id);
        for (n = 0; n < runs && strcmp(ids[n], id) != 0; n++) {
        }
        CHECK(n < 8);
        print_to(ids[n], sizeof ids[n], "%s", id);
        if (n == runs) runs++;
        if (lines > epochs[n]) epochs[n] = lines;
    }
    closedir(dir);
    for (n = 0; n < runs; n++) all += epochs[n];
    return all;
}

static void empty_folder(void) {
    struct dirent *entry;
    DIR *dir = opendir(folder);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char path[400];
        print_to(path, sizeof path, "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    if (dir != NULL) closedir(dir);
    (void)rmdir(folder);
}

static void fault_of_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void fault_of_run(const char *format, ...) {
    char what[600];
    va_list values;
    va_start(values, format);
    vsnprintf(what, sizeof what, format, values);
    va_end(values);
    run->words[strcspn(run->words, "\n")] = '\0';
    atomic_fetch_add(&shared->faults, 1);
    dprintf(STDOUT_FILENO, "FAULT %s %ld %s %s, %s: %s [%s]\n", inject_name(run->function), run->nth, run->from ? "from there on" : "once",
            run->error < 0 ? "a part" : strerrorname_np(run->error), run->is_resumed ? "resumed" : "fresh", what, run->words);
}

static void judge(const char *ending) {
    long ended = run->ended, lines;
    char left[300];
    lines = written(left, sizeof left);
    if (ending != NULL) return fault_of_run("the application %s", ending);
    if (run->refused_calls > 0) return fault_of_run("a call fails without words or with the wrong ones");
    if (lines > ended) return fault_of_run("%ld epochs have lines, and %ld were ended", lines, ended);
    if (run->is_resumed && run->created >= 0 && run->began_at != BEFORE && !run->is_reported) {
        return fault_of_run("the run begins at epoch %ld, and not at %d, and nothing is reported", run->began_at, BEFORE);
    }
    if (left[0] != '\0' && strstr(inject_name(run->function), "unlink") == NULL) fault_of_run("%s is left", left);
    if (outcome_of(be_later, left, sizeof left) != NULL) return fault_of_run("a later process %s", left);
    if (run->later > ended) return fault_of_run("a later process finds %ld epochs, and %ld were ended", run->later, ended);
    if (run->later < ended && !run->is_reported) return fault_of_run("a later process finds %ld epochs of %ld, and nothing is reported", run->later, ended);
    if (lines >= ended || run->is_reported) return;
    if (run->is_early) return fault_of_run("%ld epochs of %ld have a line, and nothing is reported", lines, ended);
    atomic_fetch_add(&shared->counted_only, 1);
}

/* Makes one run. Returns whether the next call follows. */
static int try_one(int function, int error, long nth, int from, int is_resumed) {
    char words[100];
    const char *ending;
    empty_folder();
    memset(run, 0, sizeof *run);
    run->function = function;
    run->error = error;
    run->nth = nth;
    run->from = from;
    run->is_resumed = is_resumed;
    if (is_resumed && outcome_of(be_killed, words, sizeof words) != NULL) check_failed(__FILE__, __LINE__, "the run before %s", words);
    ending = outcome_of(be_faulted, words, sizeof words);
    if (ending == NULL && run->calls < nth) return 0;
    atomic_fetch_add(&shared->reached[function], 1);
    judge(ending);
    atomic_fetch_add(&shared->runs, 1);
    return nth < MAX_CALLS;
}

/* The work is divided by function, error, once or from there on, new or resumed; workers take the next item in turn. */
static void work(void) {
    int item;
    while ((item = atomic_fetch_add(&shared->next, 1)), inject_name(item / 8) != NULL) {
        int function = item / 8, error = inject_error(function, item / 4 % 2);
        long nth = 1;
        if (error == 0) continue;
        while (try_one(function, error, nth, item % 2, item / 2 % 2)) nth++;
    }
    empty_folder();
}

static void *of_shim(const char *name) {
    void *found = dlsym(RTLD_DEFAULT, name);
    if (found == NULL) check_failed(__FILE__, __LINE__, "inject.so is not preloaded");
    return found;
}

static void be_worker(int number) {
    worker = number;
    print_to(folder, sizeof folder, "l-%d", worker);
    print_to(options, sizeof options, OPTIONS, root, worker, folder, folder);
}

static void *shared_memory(size_t length) {
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

int main(int arguments, char **words) {
    int workers = arguments > 1 ? atoi(words[1]) : 2, n, is_resumed;
    double began = now_s();
    inject_name = (const char *(*)(int))of_shim("inject_name");
    inject_error = (int (*)(int, int))of_shim("inject_error");
    inject_arm = (void (*)(int, int, long, int))of_shim("inject_arm");
    inject_calls = (long (*)(void))of_shim("inject_calls");
    inject_disarm = (void (*)(void))of_shim("inject_disarm");
    shared = shared_memory(sizeof *shared);
    run = shared_memory(sizeof *run);
    CHECK(getcwd(root, sizeof root) != NULL);
    be_worker(0);
    for (n = 0; n < 3; n++) {
        for (is_resumed = 0; is_resumed < 2; is_resumed++) {
            (void)try_one(0, 0, 0, 0, is_resumed);
            CHECK_INT(atomic_load(&shared->faults), 0);
            CHECK_INT(run->later, EPOCHS + is_resumed * BEFORE);
        }
    }
    if (arguments > 2) { /* a single run, for a person: injected 1 FUNCTION ERROR NTH FROM RESUMED */
        for (n = 0; inject_name(n) != NULL && strcmp(inject_name(n), words[2]) != 0; n++) {
        }
        (void)try_one(n, atoi(words[3]), atol(words[4]), atoi(words[5]), atoi(words[6]));
        printf("ended %ld, later %ld, calls %ld, reported %d: %s\n", run->ended, run->later, run->calls, run->is_reported, run->words);
        return 0;
    }
    for (n = 1; n <= workers; n++) {
        if (fork() == 0) {
            run = shared_memory(sizeof *run);
            be_worker(n);
            work();
            _exit(0);
        }
    }
    for (n = 1; n <= workers; n++) {
        int status = 0;
        CHECK(wait(&status) > 0);
        if (status != 0) check_failed(__FILE__, __LINE__, "a worker ends with %d", status);
    }
    for (n = 0; inject_name(n) != NULL; n++) {
        if (atomic_load(&shared->reached[n]) > 0) printf("%s %ld, ", inject_name(n), atomic_load(&shared->reached[n]));
    }
    printf("in all %ld runs in %.0f s; in %ld of them the count alone has an epoch, and nothing is reported\n", atomic_load(&shared->runs),
           now_s() - began, atomic_load(&shared->counted_only));
    return 0;
}
