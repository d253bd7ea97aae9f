/*
 * Loads a Kokkos tool as Kokkos does, then follows its arguments:
 *   application TOOL [+NAME | - | =NAME | nap | other | join | lost]...
 * + pushes a region, - pops one; = is a kernel that naps; `other`: another thread pushes one, and pops it at `join`.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct settings {
    bool requires_global_fencing;
    bool padding[255];
};

static void (*push)(const char *), (*pop)(void);
static void (*begin_kernel)(const char *, uint32_t, uint64_t *), (*end_kernel)(uint64_t);

static void *symbol(void *tool, const char *name)
{
    void *found = dlsym(tool, name);
    if (found == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return found;
}

static void nap(void)
{
    const struct timespec length = {0, 50000000};
    nanosleep(&length, NULL);
}

static void kernel(const char *name)
{
    uint64_t number = 7;
    begin_kernel(name, 0, &number);
    nap();
    end_kernel(number);
}

static pthread_barrier_t barrier;

/* A region of another thread, at the same time as those of this thread. */
static void *other(void *unused)
{
    (void)unused;
    push("other");
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    pop();
    return NULL;
}

int main(int argc, char **argv)
{
    void (*init)(int, uint64_t, uint32_t, void *), (*request)(uint32_t, struct settings *), (*finalize)(void);
    struct settings settings;
    pthread_t thread;
    void *tool = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
    int n;
    if (tool == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&init = symbol(tool, "kokkosp_init_library");
    *(void **)&request = symbol(tool, "kokkosp_request_tool_settings");
    *(void **)&push = symbol(tool, "kokkosp_push_profile_region");
    *(void **)&pop = symbol(tool, "kokkosp_pop_profile_region");
    *(void **)&begin_kernel = symbol(tool, "kokkosp_begin_parallel_for");
    *(void **)&end_kernel = symbol(tool, "kokkosp_end_parallel_for");
    *(void **)&finalize = symbol(tool, "kokkosp_finalize_library");
    pthread_barrier_init(&barrier, NULL, 2);
    memset(&settings, 1, sizeof settings);
    request(1, &settings);
    init(0, 20211015, 0, NULL);
    if (settings.requires_global_fencing != (getenv("FENCES") != NULL))
        return 2;
    for (n = 2; n < argc; n++) {
        if (argv[n][0] == '+')
            push(argv[n] + 1);
        else if (argv[n][0] == '=')
            kernel(argv[n] + 1);
        else if (strcmp(argv[n], "-") == 0)
            pop();
        else if (strcmp(argv[n], "nap") == 0)
            nap();
        else if (strcmp(argv[n], "lost") == 0)
            exit(0); /* without Kokkos::finalize */
        else if (strcmp(argv[n], "other") == 0 && pthread_create(&thread, NULL, other, NULL) == 0)
            pthread_barrier_wait(&barrier);
        else {
            pthread_barrier_wait(&barrier);
            pthread_join(thread, NULL);
        }
    }
    finalize();
    printf("done\n");
    return 0;
}
