/* The application's memory is used up, to the last small block. Every call returns, the library's threads continue, and
 * no counted energy is lost. When there is memory again, everything works. */
#include "check.h"

#include <sys/resource.h>

struct block {
    struct block *next;
};

static struct block *blocks;

static void use_up(void) {
    size_t size;
    for (size = (size_t)64 << 20; size >= sizeof(struct block); size /= 2) {
        struct block *block;
        while ((block = (struct block *)malloc(size)) != NULL) {
            block->next = blocks;
            blocks = block;
        }
    }
}

static void free_all(void) {
    while (blocks != NULL) {
        struct block *next = blocks->next;
        free(blocks);
        blocks = next;
    }
}

/* Limits the program to the memory that is mapped now, and `spare_kb` more. */
static void limit_to(long spare_kb) {
    struct rlimit limit;
    char line[256];
    long pages = 0;
    CHECK(read_text("/proc/self/statm", line, sizeof line));
    CHECK_INT(sscanf(line, "%ld", &pages), 1);
    CHECK_INT(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (rlim_t)spare_kb * 1024;
    CHECK_INT(setrlimit(RLIMIT_AS, &limit), 0);
}

static void epochs(ct_tracker *tracker, int count) {
    int n;
    for (n = 0; n < count; n++) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        CHECK_STATUS(ct_progress(tracker, 1, 2), CT_OK);
        sleep_ms(3);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    }
}

static int messages_with(ct_tracker *tracker, const char *part) {
    int count = 0;
    static char message[4096];
    while (ct_message(tracker, message, sizeof message, NULL) == CT_OK) count += strstr(message, part) != NULL;
    CHECK_STATUS(ct_message(tracker, message, sizeof message, NULL), CT_ENOENT);
    return count;
}

/* Makes each call in turn. The calls that need memory get none. */
static void call_all(ct_tracker *tracker) {
    static const char *const formats[] = {"text", "json", "csv", "prometheus", "html"};
    static const char *const pointers[] = {"/usage/energy_j", "/what_if/zones/0/co2eq_g", "/epochs/0/energy_j", "/power/from/0"};
    static char text[1 << 16];
    ct_tracker *other = tracker;
    double value = 42.0;
    size_t n;
    for (n = 0; n < sizeof formats / sizeof *formats; n++) {
        CHECK_STATUS(ct_report(tracker, formats[n], text, sizeof text, NULL), CT_EIO);
        CHECK_HAS(ct_last_error(), "memory is used up");
        CHECK_TEXT(text, "");
    }
    for (n = 0; n < sizeof pointers / sizeof *pointers; n++) {
        CHECK_STATUS(ct_value(tracker, pointers[n], &value), CT_EIO);
        CHECK(value == 42.0);
    }
    CHECK_STATUS(ct_create("sim_cpu=x:10 name='another one'", &other), CT_EIO);
    CHECK_HAS(ct_last_error(), "memory is used up");
    CHECK(other == tracker);
    CHECK_STATUS(ct_create("epochs=many", &other), CT_EINVAL);
    CHECK_STATUS(ct_epoch_end(tracker), CT_ESTATE);
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_ESTATE);
    CHECK_STATUS(ct_progress(tracker, 2, 1), CT_EINVAL);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_ESTATE);
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_OK);
    CHECK_STATUS(ct_report(tracker, "no such format", text, sizeof text, NULL), CT_EIO);
    CHECK_STATUS(ct_value(tracker, NULL, &value), CT_EINVAL);
    (void)messages_with(tracker, "");
    CHECK(ct_status_string(CT_EIO) != NULL && ct_version() != NULL);
}

/* Counts `part` in the folder's files whose names end in `suffix`. */
static int count_in(const char *folder, const char *suffix, const char *part) {
    static char text[1 << 20];
    struct dirent *entry;
    int count = 0;
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        char path[600];
        const char *at, *end = strrchr(entry->d_name, '.');
        if (end == NULL || strcmp(end, suffix) != 0) continue;
        print_to(path, sizeof path, "%s/%s", folder, entry->d_name);
        CHECK(read_text(path, text, sizeof text));
        for (at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) count++;
    }
    closedir(dir);
    return count;
}

static ct_tracker *create_with_files(char *folder, size_t cap) {
    char options[512];
    make_folder(folder, cap);
    print_to(options, sizeof options, "epochs=50 sim_cpu=x:100 intensity=50 log_dir=%s", folder);
    return create(options);
}

int main(void) {
    char folder[256], of_destroyed[256];
    ct_tracker *kept, *destroyed, *released;
    char *json;
    kept = create_with_files(folder, sizeof folder);
    destroyed = create_with_files(of_destroyed, sizeof of_destroyed);
    released = create("sim_cpu=x:100");
    epochs(kept, 3);
    epochs(destroyed, 3);
    CHECK_STATUS(ct_epoch_begin(released), CT_OK);

    limit_to(2048);
    use_up();
    epochs(kept, 20);
    epochs(destroyed, 20);
    call_all(kept);
    sleep_ms(200); /* the library's threads continue */
    epochs(kept, 2);
    ct_release(released);
    ct_destroy(destroyed);

    free_all();
    CHECK_EPOCHS(kept, 25);
    epochs(kept, 2);
    json = report_of(kept, "json");
    CHECK_HAS(json, "\"epochs_done\":27,");
    free(json);
    CHECK_BETWEEN(value_of(kept, "/usage/energy_j") / value_of(kept, "/usage/duration_s"), 99.9, 100.1);
    CHECK_INT(messages_with(kept, "memory was used up"), 1);
    ct_destroy(kept);
    ct_destroy(create("sim_cpu=x:10"));
    CHECK_INT(count_in(folder, ".jsonl", "{\"index\":"), 27);
    CHECK_INT(count_in(folder, ".json", "\"epochs_done\":27,"), 1);
    CHECK_INT(count_in(of_destroyed, ".jsonl", "{\"index\":"), 23);
    remove_folder(folder);
    remove_folder(of_destroyed);
    return 0;
}
