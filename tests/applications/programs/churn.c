/*
 * churn SEED ROUNDS [make]: an application that closes, replaces and opens descriptors below 64 at random instants,
 * whether they are its own or not. It checks each byte of its files, pipes and sockets, and which file each of its
 * descriptors is.
 *
 * Meanwhile three trackers measure short epochs and write journals: by a counter in a file (tree rapl), by perf events
 * (tree perf), and simulated. With `make` another thread makes and destroys further trackers.
 *
 * With CT_REFUSE=1 the library shares the application's table. The application then waits a millisecond between a close
 * and the next use of that number.
 */
#include "refuse.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

enum { NUMBERS = 64, THINGS = 512, TRACKERS = 3 };

/* What a descriptor of the application refers to: a file, a pipe, or a pair of sockets. */
struct thing {
    char is_there, is_file;
    unsigned id;        /* determines its bytes */
    long written, read; /* bytes */
    int ends[2];        /* descriptors of the reading end and of the writing end; those of a file count as the first */
    struct stat is[2];
};

static struct thing things[THINGS];
static struct {
    struct thing *thing;
    int end;
} own[NUMBERS];
static unsigned long long seed;
static int harmed, out;

static unsigned random_below(unsigned most) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)((seed >> 11) % most);
}

static void print_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void print_line(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vdprintf(out, format, values);
    va_end(values);
}

#define HARMED(...) (harmed++ < 20 ? print_line("harmed: " __VA_ARGS__) : (void)0)

/* Numbers that look like a counter. */
static char byte_of(const struct thing *thing, long at) {
    static const char text[] = "9223372036854775807\n1000000\n4611686018427387904\n";
    return text[((unsigned long)at + thing->id * 7) % (sizeof text - 1)];
}

static void path_of(const struct thing *thing, char *path, size_t cap) {
    print_to(path, cap, "w/mine%u", thing->id);
}

static void check_content(const struct thing *thing) {
    char path[64], text[1 << 16];
    long length, n;
    int fd;
    path_of(thing, path, sizeof path);
    CHECK((fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0);
    length = read(fd, text, sizeof text);
    close(fd);
    for (n = 0; n < length && text[n] == byte_of(thing, n); n++) {
    }
    if (length != thing->written) HARMED("%s has %ld bytes, and the application wrote %ld\n", path, length, thing->written);
    else if (n < length) HARMED("%s holds what the application never wrote: %.60s\n", path, text + n);
}

/* Reads a pipe or socket: the application's bytes and no others, then the end if the application has closed the writing
   end. */
static void drain(struct thing *thing, int fd) {
    char text[4096];
    long length, n;
    double until = now_s() + 5.0;
    for (;;) {
        while ((length = read(fd, text, sizeof text)) > 0) {
            for (n = 0; n < length; n++) {
                if (text[n] == byte_of(thing, thing->read + n)) continue;
                HARMED("a pipe holds what the application never wrote: %.*s\n", (int)(length - n), text + n);
                break;
            }
            thing->read += length;
        }
        if (thing->ends[1] > 0 || length == 0 || now_s() > until) break;
        sleep_ms(1);
    }
    if (thing->read != thing->written) HARMED("%ld bytes came out of a pipe, and the application wrote %ld\n", thing->read, thing->written);
    if (thing->ends[1] == 0 && length != 0) HARMED("a pipe that the application closed does not end: %s\n", strerror(errno));
}

static void check_number(int number) {
    struct stat is;
    const struct stat *was;
    if (own[number].thing == NULL) return;
    was = &own[number].thing->is[own[number].end];
    if (fstat(number, &is) != 0) {
        HARMED("descriptor %d is closed\n", number);
    } else if (is.st_dev != was->st_dev || is.st_ino != was->st_ino) {
        HARMED("descriptor %d is another file\n", number);
    } else {
        return;
    }
    own[number].thing = NULL;
}

/* Notes that a descriptor was closed; removes a file with its last descriptor. */
static void forget(int number) {
    struct thing *thing = own[number].thing;
    char path[64];
    own[number].thing = NULL;
    if (--thing->ends[own[number].end] > 0 || !thing->is_file) {
        thing->is_there = (char)(thing->ends[0] + thing->ends[1] > 0);
        return;
    }
    check_content(thing);
    path_of(thing, path, sizeof path);
    CHECK_INT(unlink(path), 0);
    thing->is_there = 0;
}

/* Gives the library, if it shares the table, time to see that a number is closed. */
static void let_it_rest(void) {
    if (is_refusing()) sleep_ms(1);
}

static void close_number(int number) {
    check_number(number);
    if (own[number].thing == NULL) {
        (void)close(number);
    } else {
        struct thing *thing = own[number].thing;
        if (!thing->is_file && own[number].end == 0 && thing->ends[0] == 1) drain(thing, number);
        CHECK_INT(close(number), 0);
        forget(number);
    }
    let_it_rest();
}

static void have(int number, struct thing *thing, int end) {
    CHECK(number >= 0);
    if (number >= NUMBERS) {
        close(number);
        if (thing->ends[0] + thing->ends[1] == 0) thing->is_there = 0;
        return;
    }
    CHECK_INT(fstat(number, &thing->is[end]), 0);
    own[number].thing = thing;
    own[number].end = end;
    thing->ends[end]++;
    thing->is_there = 1;
}

static struct thing *make_thing(int is_file) {
    static unsigned made;
    struct thing *thing = things;
    while (thing->is_there) thing++;
    CHECK(thing < things + THINGS);
    memset(thing, 0, sizeof *thing);
    thing->id = ++made;
    thing->is_file = (char)is_file;
    return thing;
}

static void open_file(void) {
    struct thing *thing = make_thing(1);
    char path[64];
    int number;
    path_of(thing, path, sizeof path);
    number = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    have(number, thing, 0);
    if (!thing->is_there) CHECK_INT(unlink(path), 0);
}

static void open_pair(int are_sockets) {
    struct thing *thing = make_thing(0);
    int ends[2], n;
    if (are_sockets) CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    else CHECK_INT(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    if (ends[0] >= NUMBERS || ends[1] >= NUMBERS) {
        close(ends[0]);
        close(ends[1]);
        return;
    }
    for (n = 0; n < 2; n++) have(ends[n], thing, n);
}

static int any_own(void) {
    int first = (int)random_below(NUMBERS), n;
    for (n = first; n < first + NUMBERS; n++) {
        if (own[n % NUMBERS].thing != NULL) return n % NUMBERS;
    }
    return -1;
}

static void write_some(int number) {
    struct thing *thing;
    char text[64];
    long length = 1 + random_below(sizeof text), n;
    check_number(number);
    thing = own[number].thing;
    if (thing == NULL || (!thing->is_file && (own[number].end == 0 || thing->ends[0] == 0 || thing->written - thing->read > 2000))) return;
    for (n = 0; n < length; n++) text[n] = byte_of(thing, thing->written + n);
    if (thing->is_file) CHECK_INT(pwrite(number, text, (size_t)length, thing->written), length);
    else CHECK_INT(write(number, text, (size_t)length), length);
    thing->written += length;
}

static void replace(int number) {
    int from = any_own();
    if (from < 0 || from == number) return;
    check_number(from);
    if (own[from].thing == NULL) return;
    if (own[number].thing != NULL || is_refusing()) close_number(number);
    if (own[from].thing == NULL) return; /* its pipe had no other end */
    /* a thread is about to open a file of that number (dup(2)) */
    while (dup2(from, number) < 0) CHECK_INT(errno, EBUSY);
    have(number, own[from].thing, own[from].end);
}

static void close_some(int from, int to) {
    int n;
    for (n = from; n <= to; n++) {
        if (own[n].thing != NULL) close_number(n);
    }
    if (close_range((unsigned)from, (unsigned)to, 0) == 0) return;
    for (n = from; n <= to; n++) close(n);
    let_it_rest();
}

static void any_of_it(void) {
    unsigned chance = random_below(100);
    int number = (int)random_below(NUMBERS), from;
    if (chance < 30) close_number(number);
    else if (chance < 50) open_file();
    else if (chance < 58) open_pair(chance < 54);
    else if (chance < 72) replace(number);
    else if (chance < 75) close_some(number, number + (int)random_below((unsigned)(NUMBERS - number)));
    else if ((from = any_own()) >= 0) write_some(from);
    if ((from = any_own()) >= 0) check_number(from);
}

/* Moves the counter of the tree rapl. */
static void count(long long uj) {
    char text[32];
    int fd = open("rapl/sys/class/powercap/intel-rapl:0/energy_uj", O_WRONLY | O_CLOEXEC);
    print_to(text, sizeof text, "%lld\n", 10000000000LL + uj);
    CHECK_INT(pwrite(fd, text, strlen(text), 0), strlen(text));
    close(fd);
}

/* Another thread of the application makes and destroys trackers. */
static atomic_int is_making;
static long made;

static void *make_trackers(void *unused) {
    while (atomic_load(&is_making)) {
        ct_tracker *tracker = create("sim_cpu=A:100 job=off log_dir=l-made name=made resume=nowhere intensity=grid.csv");
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
        ct_destroy(tracker);
        made++;
    }
    return unused;
}

int main(int arguments, char **words) {
    char job[200];
    const char *const options[TRACKERS] = {
        "sysroot=rapl components=cpu job=off interval=0.02 log_dir=l-rapl",
        "sysroot=perf components=cpu job=off interval=0.02 log_dir=l-perf prometheus=m.prom",
        job,
    };
    ct_tracker *trackers[TRACKERS];
    pthread_t maker;
    long rounds, round, ended = 0;
    long long uj = 0;
    int n;
    char message[4096];
    CHECK(arguments == 3 || arguments == 4);
    seed = strtoull(words[1], NULL, 10) * 2654435761u + 88172645463325252ull;
    rounds = atol(words[2]);
    refuse_if_asked();
    out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 900);
    count(0);
    print_to(job, sizeof job, "sim_cpu=A:100 sim_gpu=B:200 job=churned-%d interval=0.02 log_dir=l-sim name=churned resume=l-sim", (int)getpid());
    for (n = 0; n < TRACKERS; n++) trackers[n] = create(options[n]);
    atomic_store(&is_making, arguments == 4);
    CHECK_INT(pthread_create(&maker, NULL, make_trackers, NULL), 0);
    for (round = 0; round < rounds; round++) {
        if (round % 8 == 0) {
            for (n = 0; n < TRACKERS; n++) CHECK_STATUS(ct_epoch_begin(trackers[n]), CT_OK);
        }
        any_of_it();
        if (round % 4 == 0) count(uj += 2000);
        if (round % 8 == 5) {
            for (n = 0; n < TRACKERS; n++) CHECK_STATUS(ct_epoch_end(trackers[n]), CT_OK);
            ended++;
        }
        usleep(random_below(arguments == 4 ? 50 : 500));
    }
    atomic_store(&is_making, 0);
    CHECK_INT(pthread_join(maker, NULL), 0);
    print_line("made %ld\ncounted %.6f\n", made, (double)uj * 1e-6);
    for (n = 0; n < TRACKERS; n++) {
        double joules = -1; /* no counter can be opened */
        (void)ct_value(trackers[n], "/usage/energy_j", &joules);
        print_line("tracker %d %.0f %.6f %.6f\n", n, value_of(trackers[n], "/run/epochs_done"), joules, value_of(trackers[n], "/usage/duration_s"));
        while (ct_message(trackers[n], message, sizeof message, NULL) == CT_OK) print_line("message: %s\n", message);
    }
    for (n = 0; n < TRACKERS; n++) ct_destroy(trackers[n]);
    for (n = 0; n < NUMBERS; n++) check_number(n);
    for (n = 0; n < NUMBERS; n++) {
        if (own[n].thing != NULL) close_number(n);
    }
    print_line("ended %ld\n", ended);
    return 0;
}
