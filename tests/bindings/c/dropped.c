/* Calls in a wrong order, in a program that ignores their statuses. A message reports the first; a note in the report
   counts all. */
#include "check.h"

/* Takes all messages. Returns how many contain `part`, and the last of these in `found`. */
static int messages_with(ct_tracker *tracker, const char *part, char *found, size_t cap) {
    int count = 0;
    char message[4096];
    while (ct_message(tracker, message, sizeof message, NULL) == CT_OK) {
        if (strstr(message, part) != NULL) {
            count++;
            print_to(found, cap, "%s", message);
        }
    }
    return count;
}

static void has(ct_tracker *tracker, const char *format, const char *part, int is_there) {
    char *report = report_of(tracker, format);
    if ((strstr(report, part) != NULL) != (is_there != 0)) {
        check_failed(__FILE__, __LINE__, "the report %s \"%s\": %s", is_there ? "lacks" : "has", part, report);
    }
    free(report);
}

/* Waits until the sampler has seen the open epoch. */
static void await_open(ct_tracker *tracker) {
    double progress;
    CHECK_STATUS(ct_progress(tracker, 1, 2), CT_OK);
    while (ct_value(tracker, "/run/progress", &progress) == CT_ENOENT) sleep_ms(1);
}

static void an_end_that_was_forgotten(void) {
    ct_tracker *tracker = create("epochs=5 sim_cpu=x:10 intensity=50");
    char message[4096];
    int n;
    for (n = 0; n < 5; n++) {
        (void)ct_epoch_begin(tracker);
        sleep_ms(10);
    }
    await_open(tracker);
    has(tracker, "json", "ct_epoch_begin was refused 4 times: an epoch has been open for ", 1);
    has(tracker, "text", "note: ct_epoch_begin was refused 4 times: an epoch has been open for ", 1);
    has(tracker, "text", "1 epoch open for ", 1);
    CHECK_INT(messages_with(tracker, "ct_epoch_begin was refused once: an epoch has been open for ", message, sizeof message), 1);
    CHECK_HAS(message, "call ct_epoch_end");
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    has(tracker, "json", "ct_epoch_begin was refused 4 times: an epoch was open already", 1);
    has(tracker, "text", "1 epoch open", 0);
    CHECK_EPOCHS(tracker, 1);
    ct_destroy(tracker);
}

static void calls_without_a_begin(void) {
    static const char *const notes[] = {
        "ct_epoch_end was refused 3 times: no epoch was open",
        "ct_epoch_cancel was refused once: no epoch was open",
        "ct_progress was refused 2 times: no epoch was open",
        "ct_progress was refused 2 times: done was above total, or total was 0",
    };
    ct_tracker *tracker = create("sim_cpu=x:10 intensity=50");
    char message[4096];
    size_t n;
    (void)ct_epoch_end(tracker);
    (void)ct_epoch_end(tracker);
    (void)ct_epoch_cancel(tracker);
    (void)ct_progress(tracker, 1, 2);
    (void)ct_progress(tracker, 2, 2);
    (void)ct_progress(tracker, 3, 2);
    (void)ct_progress(tracker, 0, 0);
    (void)ct_epoch_end(tracker);
    for (n = 0; n < sizeof notes / sizeof *notes; n++) has(tracker, "json", notes[n], 1);
    CHECK_INT(messages_with(tracker, "was refused once", message, sizeof message), 4);
    ct_destroy(tracker);
}

static void a_report_inside_an_epoch_is_no_fault(void) {
    ct_tracker *tracker = create("epochs=2 sim_cpu=x:10 intensity=50");
    char message[4096];
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    await_open(tracker);
    has(tracker, "text", "1 epoch open for ", 1);
    has(tracker, "json", "refused", 0);
    has(tracker, "json", "still open", 0);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_cancel(tracker), CT_OK);
    has(tracker, "json", "refused", 0);
    CHECK_INT(messages_with(tracker, "refused", message, sizeof message), 0);
    ct_destroy(tracker);
}

/* Removes the files of `folder`. If there is one that ends in .json, `out` gets its text; no other is removed before. */
static void take_files(const char *folder, char *out, size_t cap) {
    struct dirent *entry;
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        char path[600];
        const char *end = strrchr(entry->d_name, '.');
        if (entry->d_name[0] == '.') continue;
        print_to(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (end != NULL && strcmp(end, ".json") == 0) CHECK(read_text(path, out, cap));
        if (out[0] != '\0') remove(path);
    }
    closedir(dir);
}

/* Reads the report in `folder`, and removes the folder. On a busy machine the library's thread may still write. */
static void take_report(const char *folder, char *out, size_t cap) {
    double deadline = now_s() + 60.0;
    out[0] = '\0';
    for (;;) {
        take_files(folder, out, cap);
        if (out[0] != '\0' && rmdir(folder) == 0) return;
        CHECK(now_s() < deadline);
        sleep_ms(5);
    }
}

static ct_tracker *create_with_files(char *folder, size_t cap) {
    char options[512];
    make_folder(folder, cap);
    print_to(options, sizeof options, "sim_cpu=x:10 intensity=50 log_dir=%s", folder);
    return create(options);
}

static void an_epoch_that_never_ends(void) {
    char folder[256], report[1 << 16];
    ct_tracker *tracker = create_with_files(folder, sizeof folder);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    await_open(tracker);
    ct_destroy(tracker);
    take_report(folder, report, sizeof report);
    CHECK_HAS(report, "an epoch was still open when the tracker ended, after ");
}

int main(void) {
    an_end_that_was_forgotten();
    calls_without_a_begin();
    a_report_inside_an_epoch_is_no_fault();
    an_epoch_that_never_ends();
    return 0;
}
