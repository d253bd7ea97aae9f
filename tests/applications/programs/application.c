/*
 * An application that follows the orders in its arguments, in turn:
 *
 *     application "create sim_cpu=A:100 log_dir=l" "epochs 3 20" "close_range 3 4095" "files 40 w" messages destroy
 *
 * It prints to the file that CT_OUT names, else to standard output. A line that begins with "harmed" describes damage
 * that the library did. The list of orders is at the end.
 */
#include "refuse.h"

#include "journals.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/shm.h>
#include <sys/socket.h>

static ct_tracker *tracker;
static atomic_long ended;

static void print_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Opens the file for each line: it must not hold a descriptor that an order may close. */
static void print_line(const char *format, ...) {
    static char line[sizeof big + 100];
    const char *out = getenv("CT_OUT");
    int fd = out == NULL ? STDOUT_FILENO : open(out, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644), length;
    va_list values;
    va_start(values, format);
    length = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    line[length++] = '\n';
    if (write(fd, line, (size_t)length) != length) _exit(3);
    if (out != NULL) close(fd);
}

static void make(char *options) {
    double began = now_s();
    int status = ct_create(options, &tracker);
    CHECK_STATUS(status, CT_OK);
    print_line("created in %.3f s", now_s() - began);
}

static int mark(long us) {
    int status = ct_epoch_begin(tracker);
    if (status < 0) return status;
    usleep((unsigned)us);
    status = ct_epoch_end(tracker);
    if (status >= 0) atomic_fetch_add(&ended, 1);
    return status;
}

static void epochs(char *words) {
    int count = 0, ms = 0, n;
    CHECK_INT(sscanf(words, "%d %d", &count, &ms), 2);
    for (n = 0; n < count; n++) {
        int status = mark(ms * 1000L);
        if (status < 0) print_line("harmed: an epoch returned %d: %s", status, ct_last_error());
    }
}

static void begin(char *words) {
    (void)words;
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
}

static void end(char *words) {
    (void)words;
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    atomic_fetch_add(&ended, 1);
}

static void messages(char *words) {
    (void)words;
    while (ct_message(tracker, big, sizeof big, NULL) == CT_OK) print_line("message: %s", big);
}

/* Prints messages until one has this text. */
static void await_message(char *text) {
    const double until = now_s() + AWAIT_S;
    big[0] = '\0';
    do {
        if (ct_message(tracker, big, sizeof big, NULL) == CT_OK) {
            print_line("message: %s", big);
        } else {
            big[0] = '\0';
            sleep_ms(2);
        }
    } while ((big[0] == '\0' || strstr(big, text) == NULL) && now_s() < until);
    if (big[0] == '\0') check_failed(__FILE__, __LINE__, "no message has '%s'", text);
}

static void report(char *format) {
    int status = ct_report(tracker, format, big, sizeof big, NULL);
    print_line("report: %s", status < 0 ? ct_last_error() : big);
}

static void value(char *pointer) {
    double number = -1;
    int status = ct_value(tracker, pointer, &number);
    print_line("%s = %.17g", pointer, status == CT_OK ? number : -1);
}

static void destroy(char *words) {
    (void)words;
    ct_destroy(tracker);
}

static void release(char *words) {
    (void)words;
    ct_release(tracker);
}

/* Descriptors. */

static void close_range_of(char *words) {
    int from = 0, to = 0, n;
    CHECK_INT(sscanf(words, "%d %d", &from, &to), 2);
    if (close_range((unsigned)from, (unsigned)to, 0) == 0) return;
    for (n = from; n <= to; n++) close(n);
}

static void close_from(char *words) {
    closefrom(atoi(words));
}

/* Wraps each open number in a stream, and closes the stream. */
static void fdopen_of(char *words) {
    int from = 0, to = 0, n;
    CHECK_INT(sscanf(words, "%d %d", &from, &to), 2);
    for (n = from; n <= to; n++) {
        FILE *file = fdopen(n, "r");
        if (file == NULL && errno == EINVAL) file = fdopen(n, "w");
        if (file != NULL) fclose(file);
    }
}

static struct own {
    int fd;
    struct stat file;
    char path[300], text[32];
} owned[256];
static int own_count;

static void own(int fd, const char *path) {
    struct own *one = &owned[own_count++];
    CHECK(fd >= 0 && own_count < 256);
    one->fd = fd;
    one->text[0] = '\0';
    CHECK_INT(fstat(fd, &one->file), 0);
    print_to(one->path, sizeof one->path, "%s", path);
}

static int open_own(const char *folder, char *path, size_t cap) {
    print_to(path, cap, "%s/mine%02d", folder, own_count);
    return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

static void files(char *words) {
    char folder[200], path[300];
    int count = 0, n;
    CHECK_INT(sscanf(words, "%d %199s", &count, folder), 2);
    for (n = 0; n < count; n++) own(open_own(folder, path, sizeof path), path);
}

/* If the table is shared and a thread is about to open a file of that number, dup2 fails with EBUSY (dup(2)). */
static int dup2_again(int file, int number) {
    int copy;
    while ((copy = dup2(file, number)) < 0 && errno == EBUSY) sleep_ms(1);
    return copy;
}

static void dup2_of(char *words) {
    char folder[200], path[300];
    int from = 0, to = 0, n, file;
    CHECK_INT(sscanf(words, "%d %d %199s", &from, &to, folder), 3);
    file = fcntl(open_own(folder, path, sizeof path), F_DUPFD_CLOEXEC, 512);
    for (n = from; n <= to; n++) own(dup2_again(file, n), path);
}

/* Writes growing numbers into the application's files, like an energy counter. */
static void count(char *words) {
    int steps = 0, ms = 0, n, step;
    CHECK_INT(sscanf(words, "%d %d", &steps, &ms), 2);
    for (step = 1; step <= steps; step++) {
        sleep_ms(ms);
        for (n = 0; n < own_count; n++) {
            struct own *one = &owned[n];
            print_to(one->text, sizeof one->text, "%ld\n", 2000000L + 50000000L * step);
            CHECK_INT(pwrite(one->fd, one->text, strlen(one->text), 0), strlen(one->text));
        }
    }
}

static void check(char *words) {
    int n;
    (void)words;
    for (n = 0; n < own_count; n++) {
        const struct own *one = &owned[n];
        struct stat now;
        FILE *file;
        size_t length;
        if (fstat(one->fd, &now) != 0) {
            print_line("harmed: descriptor %d, %s, is closed: %s", one->fd, one->path, strerror(errno));
        } else if (now.st_dev != one->file.st_dev || now.st_ino != one->file.st_ino) {
            print_line("harmed: descriptor %d is not %s any more", one->fd, one->path);
        }
        file = fopen(one->path, "re");
        CHECK(file != NULL);
        length = fread(big, 1, sizeof big - 1, file);
        fclose(file);
        big[length] = '\0';
        if (length != strlen(one->text) || strcmp(big, one->text) != 0) {
            print_line("harmed: %s holds %zu bytes that the application never wrote: %.120s", one->path, length, big);
        }
    }
}

/* Checks that the library does not use numbers that the application closed. An application that prints there would
   print into a file of the library. */
static void closed(char *words) {
    int from = 0, to = 0, n;
    CHECK_INT(sscanf(words, "%d %d", &from, &to), 2);
    for (n = from; n <= to; n++) {
        int looks = 0;
        /* Where both share one table, a file that the library opens has the lowest free number for a moment. */
        while (looks < 5 && fcntl(n, F_GETFD) >= 0) {
            looks++;
            sleep_ms(2);
        }
        if (looks == 5) print_line("harmed: the library has taken descriptor %d", n);
    }
}

/* Resources that are freed when the application closes them: a pipe, a lock, a port. */
static int pipe_ends[2] = {-1, -1}, locked = -1, listening = -1;
static struct sockaddr_in address;
static char lock_path[300];

static int listen_there(void) {
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0) {
        close(fd);
        return -1;
    }
    CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    return fd;
}

static int lock_file(void) {
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    close(fd);
    return -1;
}

static void hold(char *folder) {
    print_to(lock_path, sizeof lock_path, "%s/lock", folder);
    CHECK_INT(pipe2(pipe_ends, O_CLOEXEC), 0);
    CHECK((locked = lock_file()) >= 0);
    CHECK((listening = listen_there()) >= 0);
}

static void let_go(char *words) {
    struct pollfd end = {.fd = pipe_ends[0], .events = POLLIN};
    double until = now_s() + AWAIT_S;
    (void)words;
    close(pipe_ends[1]);
    close(locked);
    close(listening);
    if (poll(&end, 1, (int)(AWAIT_S * 1000)) != 1 || (end.revents & POLLHUP) == 0) print_line("harmed: a pipe that the application closed does not end");
    while (now_s() < until && ((locked = lock_file()) < 0 || (listening = listen_there()) < 0)) sleep_ms(1);
    if (locked < 0) print_line("harmed: a file that the application closed is still locked");
    if (listening < 0) print_line("harmed: a port that the application closed is still taken");
}

/* Threads that open and close files all the time. */
static atomic_int is_opening, busy;

static void *open_and_close(void *folder) {
    static atomic_int threads;
    char path[300], text[64], back[64];
    int n, me = atomic_fetch_add(&threads, 1);
    print_to(path, sizeof path, "%s/busy%d", (char *)folder, me);
    for (n = 0; atomic_load(&is_opening); n++) {
        struct stat before, after;
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), length;
        CHECK(fd >= 0 && fstat(fd, &before) == 0);
        length = snprintf(text, sizeof text, "%d\n", 2000000 + 50000 * n);
        CHECK_INT(write(fd, text, (size_t)length), length);
        usleep((unsigned)(n * 37 % 900));
        if (fstat(fd, &after) != 0 || after.st_ino != before.st_ino) {
            print_line("harmed: descriptor %d of a thread is not its own any more", fd);
        } else if (after.st_size != length || pread(fd, back, sizeof back, 0) != length || memcmp(back, text, (size_t)length) != 0) {
            print_line("harmed: %s holds %ld bytes that the application never wrote", path, (long)after.st_size);
        }
        close(fd);
    }
    atomic_fetch_sub(&busy, 1);
    return NULL;
}

static void openers(char *words) {
    static char folder[200];
    int count = 0;
    CHECK_INT(sscanf(words, "%d %199s", &count, folder), 2);
    atomic_store(&is_opening, 1);
    while (count-- > 0) {
        pthread_t thread;
        atomic_fetch_add(&busy, 1);
        CHECK_INT(pthread_create(&thread, NULL, open_and_close, folder), 0);
        CHECK_INT(pthread_detach(thread), 0);
    }
}

static void stop_openers(char *words) {
    (void)words;
    atomic_store(&is_opening, 0);
    while (atomic_load(&busy) > 0) sleep_ms(1);
}

/* Files. */

/* Waits until the library's thread has written lines of this many epochs into a folder's journals. */
static void written(char *words) {
    const double until = now_s() + AWAIT_S;
    char folder[200];
    long epochs = 0;
    CHECK_INT(sscanf(words, "%199s %ld", folder, &epochs), 2);
    while (epochs_in(folder) < epochs && now_s() < until) sleep_ms(2);
    if (epochs_in(folder) < epochs) check_failed(__FILE__, __LINE__, "%s has %ld of %ld epochs", folder, epochs_in(folder), epochs);
}

/* Removes the System V segments that this process created; truncates and removes files in /dev/shm that it has
   mapped. */
static void wipe_shared_memory(char *words) {
    char line[600];
    FILE *file = fopen("/proc/sysvipc/shm", "r");
    (void)words;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        int id, maker;
        if (sscanf(line, "%*d %d %*o %*u %d", &id, &maker) == 2 && maker == getpid()) {
            CHECK_INT(shmctl(id, IPC_RMID, NULL), 0);
            print_line("removed segment %d", id);
        }
    }
    if (file != NULL) fclose(file);
    CHECK((file = fopen("/proc/self/maps", "r")) != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        char *path = strstr(line, "/dev/shm/");
        if (path == NULL || strstr(path, "(deleted)") != NULL) continue;
        path[strcspn(path, "\n")] = '\0';
        CHECK(truncate(path, 0) == 0 && unlink(path) == 0);
        print_line("truncated %s", path);
    }
    fclose(file);
}

static void change_folder(char *path) {
    CHECK_INT(chdir(path), 0);
}

static void change_root(char *path) {
    CHECK(chroot(path) == 0 && chdir("/") == 0);
}

static void become(char *user) {
    CHECK_INT(setuid((uid_t)atoi(user)), 0);
}

static void mask(char *mode) {
    umask((mode_t)strtol(mode, NULL, 8));
}

static void shell(char *words) {
    int status = system(words);
    if (status != 0) check_failed(__FILE__, __LINE__, "'%s' ends with %d", words, status);
}

static void rest(char *ms) {
    sleep_ms(atol(ms));
}

/* Prints on both streams. */
static void print(char *words) {
    int n, count = atoi(words);
    for (n = 0; n < count; n++) {
        printf("epoch %d: the application's own output\n", n);
        fflush(stdout);
        fprintf(stderr, "warning %d: the application's own words\n", n);
    }
}

/* Plug-ins. */

static void *plugin;

static void load(char *path) {
    plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) check_failed(__FILE__, __LINE__, "dlopen: %s", dlerror());
}

static void unload(char *words) {
    (void)words;
    CHECK_INT(dlclose(plugin), 0);
}

/* Ends of the process. */

static void exit_by(char *status) {
    print_line("ended %ld", atomic_load(&ended));
    exit(atoi(status));
}

static void quick_exit_by(char *status) {
    print_line("ended %ld", atomic_load(&ended));
    quick_exit(atoi(status));
}

static void exit_at_once(char *status) {
    print_line("ended %ld", atomic_load(&ended));
    _exit(atoi(status));
}

static void kill_by(char *words) {
    (void)words;
    print_line("ended %ld", atomic_load(&ended));
    kill(getpid(), SIGKILL);
}

static void fork_and_exit(char *words) {
    pid_t child = fork();
    (void)words;
    if (child == 0) exit(0);
    check_child(child);
}

static void *mark_for_ever(void *us) {
    while (mark((long)us) >= 0) {
    }
    return NULL;
}

/* Starts a thread that marks epochs for ever. Returns after the first few. */
static void marks(char *words) {
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, mark_for_ever, (void *)500L), 0);
    while (atomic_load(&ended) < atoi(words)) sleep_ms(1);
}

/* An exit handler. If it is registered before the first tracker is made, it runs after the library's handler. */
static void call_everything(void) {
    double number;
    (void)mark(0);
    (void)ct_progress(tracker, 1, 2);
    (void)ct_value(tracker, "/usage/energy_j", &number);
    (void)ct_report(tracker, "json", big, sizeof big, NULL);
    (void)ct_message(tracker, big, sizeof big, NULL);
    ct_destroy(tracker);
}

static void at_exit(char *words) {
    (void)words;
    CHECK_INT(atexit(call_everything), 0);
}

static const struct {
    const char *name;
    void (*run)(char *words);
} COMMANDS[] = {
    {"create", make}, {"epochs", epochs}, {"begin", begin}, {"end", end}, {"messages", messages}, {"await_message", await_message}, {"written", written}, {"report", report}, {"value", value}, {"destroy", destroy},
    {"release", release}, {"close_range", close_range_of}, {"closefrom", close_from}, {"fdopen", fdopen_of}, {"dup2", dup2_of},
    {"files", files}, {"closed", closed}, {"count", count}, {"check", check}, {"hold", hold}, {"let_go", let_go}, {"openers", openers},
    {"stop_openers", stop_openers}, {"read", read_journals}, {"wipe_shared_memory", wipe_shared_memory}, {"chdir", change_folder},
    {"chroot", change_root}, {"setuid", become}, {"umask", mask}, {"sh", shell}, {"sleep", rest}, {"print", print}, {"exit", exit_by},
    {"quick_exit", quick_exit_by}, {"_exit", exit_at_once}, {"kill", kill_by}, {"fork_and_exit", fork_and_exit}, {"marks", marks},
    {"at_exit", at_exit}, {"load", load}, {"unload", unload},
};

int main(int count, char **arguments) {
    int n;
    refuse_if_asked();
    for (n = 1; n < count; n++) {
        size_t length = strcspn(arguments[n], " "), command, known = sizeof COMMANDS / sizeof *COMMANDS;
        for (command = 0; command < known; command++) {
            if (strlen(COMMANDS[command].name) == length && strncmp(arguments[n], COMMANDS[command].name, length) == 0) break;
        }
        if (command == known) check_failed(__FILE__, __LINE__, "no command '%s'", arguments[n]);
        COMMANDS[command].run(arguments[n] + length + (arguments[n][length] == ' '));
    }
    return 0;
}
