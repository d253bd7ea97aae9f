/* An application that loads the library as a plug-in has used up its memory, and a thread makes its first call. glibc
 * would have to allocate the library's thread-local variables, and ends the program if it cannot. CT_SO or the first
 * argument names the library. */
#include "check.h"

#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>

struct block {
    struct block *next;
};

static struct block *blocks;
static ct_tracker *tracker;
static int is_used_up;
static ct_status (*create_)(const char *, ct_tracker **);
static ct_status (*begin)(ct_tracker *);
static ct_status (*end)(ct_tracker *);
static ct_status (*value)(ct_tracker *, const char *, double *);
static void (*destroy)(ct_tracker *);
static const char *(*last_error)(void);

/* ISO C has no cast from an object's address to a function's. */
static void look_up(void *library, const char *name, void *function, size_t size) {
    void *found = dlsym(library, name);
    if (found == NULL) check_failed(__FILE__, __LINE__, "dlsym %s: %s", name, dlerror());
    memcpy(function, &found, size);
}

static void *late(void *unused) {
    double joules;
    int n;
    while (!__atomic_load_n(&is_used_up, __ATOMIC_SEQ_CST)) sleep_ms(1);
    for (n = 0; n < 20; n++) {
        CHECK_INT(begin(tracker), CT_OK);
        CHECK_INT(end(tracker), CT_OK);
    }
    CHECK_INT(value(tracker, "/usage/energy_j", &joules), CT_EIO);
    CHECK_HAS(last_error(), "memory is used up");
    return unused;
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : getenv("CT_SO");
    void *library;
    struct rlimit limit;
    char line[256];
    long pages = 0;
    size_t size;
    double joules;
    pthread_t thread;
    if (path == NULL) check_failed(__FILE__, __LINE__, "no library is named: set CT_SO=");
    (void)mallopt(M_ARENA_MAX, 1); /* another thread's arena would have free address space */
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) check_failed(__FILE__, __LINE__, "dlopen: %s", dlerror());
    look_up(library, "ct_create", &create_, sizeof create_);
    look_up(library, "ct_epoch_begin", &begin, sizeof begin);
    look_up(library, "ct_epoch_end", &end, sizeof end);
    look_up(library, "ct_value", &value, sizeof value);
    look_up(library, "ct_destroy", &destroy, sizeof destroy);
    look_up(library, "ct_last_error", &last_error, sizeof last_error);
    CHECK_INT(pthread_create(&thread, NULL, late, NULL), 0);
    CHECK_INT(create_("sim_cpu=x:10 components=cpu", &tracker), CT_OK);
    CHECK(sampler_tid() > 0); /* it already has its variables */

    CHECK(read_text("/proc/self/statm", line, sizeof line));
    CHECK_INT(sscanf(line, "%ld", &pages), 1);
    CHECK_INT(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (1 << 20);
    CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
    for (size = (size_t)64 << 20; size >= sizeof(struct block); size /= 2) {
        struct block *block;
        while ((block = (struct block *)malloc(size)) != NULL) {
            block->next = blocks;
            blocks = block;
        }
    }
    __atomic_store_n(&is_used_up, 1, __ATOMIC_SEQ_CST);
    CHECK_INT(pthread_join(thread, NULL), 0);

    while (blocks != NULL) {
        struct block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
    CHECK_INT(value(tracker, "/usage/energy_j", &joules), CT_OK);
    destroy(tracker);
    return 0;
}
