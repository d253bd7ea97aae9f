/*
 * A shim to preload: it makes calls from libcarbontracker.so into libc fail. It recognises them by their return
 * address, and forwards all other calls.
 *
 *     inject_arm(function, error, nth, from)   the nth call from now fails; with `from` also all later ones
 *     inject_calls()                           the number of calls of that function since then
 *     inject_disarm()                          no call fails any more
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not an error: the call transfers only a part of the bytes. */
enum { PART = -1 };

/* The functions and their errors. Some are parts of a function, of fcntl or syscall. */
#define FUNCTIONS(ONE) \
    ONE(open64, EMFILE, EACCES) ONE(open, EMFILE, EACCES) ONE(openat, EMFILE, EACCES) ONE(openat64, EMFILE, EACCES) \
    ONE(opendir, EMFILE, EACCES) ONE(fdopendir, EMFILE, 0) ONE(readdir64, EIO, 0) \
    ONE(read, EIO, PART) ONE(pread64, EIO, PART) ONE(write, ENOSPC, PART) ONE(pwrite64, ENOSPC, PART) ONE(lseek64, EIO, 0) \
    ONE(fdatasync, EIO, 0) ONE(fsync, EIO, 0) ONE(ftruncate64, EIO, 0) ONE(close, EIO, 0) \
    ONE(rename, EACCES, ENOSPC) ONE(renameat, EACCES, ENOSPC) ONE(renameat2, EACCES, ENOSPC) ONE(link, EACCES, 0) ONE(linkat, EACCES, 0) \
    ONE(unlink, EACCES, 0) ONE(unlinkat, EACCES, 0) ONE(mkdir, ENOSPC, EACCES) ONE(mkdirat, ENOSPC, EACCES) \
    ONE(stat64, EACCES, 0) ONE(fstat64, EIO, 0) ONE(lstat64, EACCES, 0) ONE(fstatat64, EACCES, 0) ONE(statx, EACCES, EIO) \
    ONE(fcntl_lock, ENOLCK, 0) ONE(fcntl_dup, EMFILE, 0) ONE(fcntl_other, EINVAL, 0) ONE(flock, ENOLCK, 0) ONE(dup, EMFILE, 0) \
    ONE(dup3, EMFILE, 0) ONE(fchmod, EPERM, 0) ONE(chmod, EPERM, 0) ONE(fchown, EPERM, 0) ONE(chown, EPERM, 0) \
    ONE(readlink, EACCES, 0) ONE(realpath, EACCES, 0) ONE(getcwd, ENOENT, 0) \
    ONE(mmap, ENOMEM, 0) ONE(madvise, EINVAL, 0) ONE(shmget, ENOSPC, EACCES) ONE(shmat, ENOMEM, 0) ONE(shmctl, EPERM, 0) \
    ONE(pthread_create, EAGAIN, 0) ONE(unshare, EPERM, 0) ONE(getrandom, ENOSYS, EAGAIN) ONE(sched_getaffinity, EINVAL, 0) \
    ONE(syscall_close_range, EPERM, ENOSYS) ONE(syscall_statx, EACCES, 0) ONE(syscall_other, ENOSYS, 0)

#define NUMBER(name, first, second) IS_##name,
enum { FUNCTIONS(NUMBER) COUNT };
#define DESCRIBED(name, first, second) {#name, {first, second}},
static const struct {
    const char *name;
    int errors[2];
} functions[] = {FUNCTIONS(DESCRIBED)};

static struct {
    int function, error, from;
    long nth;
} plan = {-1, 0, 0, 0};
static atomic_long calls;
static uintptr_t low = UINTPTR_MAX, high;

static int find_library(struct dl_phdr_info *object, size_t size, void *unused) {
    int n;
    (void)size;
    (void)unused;
    if (strstr(object->dlpi_name, "libcarbontracker.so") == NULL) return 0;
    for (n = 0; n < object->dlpi_phnum; n++) {
        uintptr_t start = object->dlpi_addr + object->dlpi_phdr[n].p_vaddr;
        if (object->dlpi_phdr[n].p_type != PT_LOAD) continue;
        if (start < low) low = start;
        if (start + object->dlpi_phdr[n].p_memsz > high) high = start + object->dlpi_phdr[n].p_memsz;
    }
    return 1;
}

__attribute__((constructor)) static void begin(void) {
    dl_iterate_phdr(find_library, NULL);
}

const char *inject_name(int function) {
    return function < COUNT ? functions[function].name : NULL;
}

int inject_error(int function, int which) {
    return which < 2 ? functions[function].errors[which] : 0;
}

void inject_arm(int function, int error, long nth, int from) {
    atomic_store(&calls, 0);
    plan.error = error;
    plan.nth = nth;
    plan.from = from;
    plan.function = function;
}

long inject_calls(void) {
    return atomic_load(&calls);
}

void inject_disarm(void) {
    plan.function = -1;
}

/* The failure of this call: an errno, PART, or 0 for none. */
static int fault(const void *caller, int function) {
    long call;
    if (function != plan.function || (uintptr_t)caller < low || (uintptr_t)caller >= high) return 0;
    call = atomic_fetch_add(&calls, 1) + 1;
    return call == plan.nth || (plan.from && call > plan.nth) ? plan.error : 0;
}

#define REAL(name) ((__typeof__(&name))real(&real_##name, #name))

static void *real(void **known, const char *name) {
    void *found = __atomic_load_n(known, __ATOMIC_RELAXED);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        __atomic_store_n(known, found, __ATOMIC_RELAXED);
    }
    return found;
}

/* A function that returns `failed` and sets errno when it fails. */
#define CALL(result, name, failed, parameters, arguments) \
    result name parameters { \
        static void *real_##name; \
        int error = fault(__builtin_return_address(0), IS_##name); \
        if (error == 0) return REAL(name) arguments; \
        errno = error; \
        return failed; \
    }

/* A function that opens a file, and takes a mode if it may create one. */
#define OPEN(name, first, given) \
    int name(first const char *path, int flags, ...) { \
        static void *real_##name; \
        int error = fault(__builtin_return_address(0), IS_##name); \
        mode_t mode; \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
        if (error == 0) return REAL(name)(given path, flags, mode); \
        errno = error; \
        return -1; \
    }

/* A function that transfers bytes, and may transfer a part. */
#define TRANSFER(name, parameters, arguments) \
    ssize_t name parameters { \
        static void *real_##name; \
        int error = fault(__builtin_return_address(0), IS_##name); \
        if (error == PART) length = (length + 1) / 2; \
        if (error <= 0) return REAL(name) arguments; \
        errno = error; \
        return -1; \
    }

#define NOTHING
#define COMMA_AFTER(what) what,

OPEN(open64, NOTHING, NOTHING)
OPEN(open, NOTHING, NOTHING)
OPEN(openat, COMMA_AFTER(int folder), COMMA_AFTER(folder))
OPEN(openat64, COMMA_AFTER(int folder), COMMA_AFTER(folder))
TRANSFER(read, (int fd, void *to, size_t length), (fd, to, length))
TRANSFER(pread64, (int fd, void *to, size_t length, off64_t at), (fd, to, length, at))
TRANSFER(write, (int fd, const void *from, size_t length), (fd, from, length))
TRANSFER(pwrite64, (int fd, const void *from, size_t length, off64_t at), (fd, from, length, at))
CALL(DIR *, opendir, NULL, (const char *path), (path))
CALL(DIR *, fdopendir, NULL, (int fd), (fd))
CALL(struct dirent64 *, readdir64, NULL, (DIR *dir), (dir))
CALL(off64_t, lseek64, -1, (int fd, off64_t to, int whence), (fd, to, whence))
CALL(int, fdatasync, -1, (int fd), (fd))
CALL(int, fsync, -1, (int fd), (fd))
CALL(int, ftruncate64, -1, (int fd, off64_t length), (fd, length))
CALL(int, rename, -1, (const char *from, const char *to), (from, to))
CALL(int, renameat, -1, (int there, const char *from, int here, const char *to), (there, from, here, to))
CALL(int, renameat2, -1, (int there, const char *from, int here, const char *to, unsigned flags), (there, from, here, to, flags))
CALL(int, link, -1, (const char *from, const char *to), (from, to))
CALL(int, linkat, -1, (int there, const char *from, int here, const char *to, int flags), (there, from, here, to, flags))
CALL(int, unlink, -1, (const char *path), (path))
CALL(int, unlinkat, -1, (int folder, const char *path, int flags), (folder, path, flags))
CALL(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
CALL(int, mkdirat, -1, (int folder, const char *path, mode_t mode), (folder, path, mode))
CALL(int, stat64, -1, (const char *path, struct stat64 *to), (path, to))
CALL(int, fstat64, -1, (int fd, struct stat64 *to), (fd, to))
CALL(int, lstat64, -1, (const char *path, struct stat64 *to), (path, to))
CALL(int, fstatat64, -1, (int folder, const char *path, struct stat64 *to, int flags), (folder, path, to, flags))
CALL(int, statx, -1, (int folder, const char *path, int flags, unsigned mask, struct statx *to), (folder, path, flags, mask, to))
CALL(int, flock, -1, (int fd, int how), (fd, how))
CALL(int, dup, -1, (int fd), (fd))
CALL(int, dup3, -1, (int from, int to, int flags), (from, to, flags))
CALL(int, fchmod, -1, (int fd, mode_t mode), (fd, mode))
CALL(int, chmod, -1, (const char *path, mode_t mode), (path, mode))
CALL(int, fchown, -1, (int fd, uid_t user, gid_t group), (fd, user, group))
CALL(int, chown, -1, (const char *path, uid_t user, gid_t group), (path, user, group))
CALL(ssize_t, readlink, -1, (const char *path, char *to, size_t length), (path, to, length))
CALL(char *, realpath, NULL, (const char *path, char *to), (path, to))
CALL(char *, getcwd, NULL, (char *to, size_t length), (to, length))
CALL(void *, mmap, (void *)-1, (void *at, size_t length, int rights, int flags, int fd, off_t from), (at, length, rights, flags, fd, from))
CALL(int, madvise, -1, (void *at, size_t length, int advice), (at, length, advice))
CALL(int, shmget, -1, (key_t key, size_t length, int flags), (key, length, flags))
CALL(void *, shmat, (void *)-1, (int id, const void *at, int flags), (id, at, flags))
CALL(int, unshare, -1, (int flags), (flags))
CALL(ssize_t, getrandom, -1, (void *to, size_t length, unsigned flags), (to, length, flags))
CALL(int, sched_getaffinity, -1, (pid_t process, size_t length, cpu_set_t *to), (process, length, to))
CALL(int, shmctl, -1, (int id, int command, struct shmid_ds *to), (id, command, to))

void *mmap64(void *at, size_t length, int rights, int flags, int fd, off64_t from) {
    static void *real_mmap64;
    int error = fault(__builtin_return_address(0), IS_mmap);
    if (error == 0) return REAL(mmap64)(at, length, rights, flags, fd, from);
    errno = error;
    return MAP_FAILED;
}

/* The descriptor is closed in spite of the error, as when a network file system reports a late write error. */
int close(int fd) {
    static void *real_close;
    int error = fault(__builtin_return_address(0), IS_close), closed = REAL(close)(fd);
    if (error == 0) return closed;
    errno = error;
    return -1;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*body)(void *), void *argument) {
    static void *real_pthread_create;
    int error = fault(__builtin_return_address(0), IS_pthread_create);
    return error == 0 ? REAL(pthread_create)(thread, how, body, argument) : error;
}

static int part_of_fcntl(int command) {
    switch (command) {
    case F_GETLK:
    case F_SETLK:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
        return IS_fcntl_lock;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return IS_fcntl_dup;
    default:
        return IS_fcntl_other;
    }
}

int fcntl(int fd, int command, ...) {
    static void *real_fcntl;
    int error = fault(__builtin_return_address(0), part_of_fcntl(command));
    void *argument;
    va_list more;
    va_start(more, command);
    argument = va_arg(more, void *);
    va_end(more);
    if (error == 0) return REAL(fcntl)(fd, command, argument);
    errno = error;
    return -1;
}

static int part_of_syscall(long number) {
    switch (number) {
    case SYS_futex: /* a lock does not fail */
    case SYS_gettid:
        return -2;
    case SYS_close_range:
        return IS_syscall_close_range;
    case SYS_statx:
        return IS_syscall_statx;
    default:
        return IS_syscall_other;
    }
}

long syscall(long number, ...) {
    static void *real_syscall;
    int error = fault(__builtin_return_address(0), part_of_syscall(number)), n;
    long words[6];
    va_list more;
    va_start(more, number);
    for (n = 0; n < 6; n++) words[n] = va_arg(more, long);
    va_end(more);
    if (error == 0) return REAL(syscall)(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    errno = error;
    return -1;
}
