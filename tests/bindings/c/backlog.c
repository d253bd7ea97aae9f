/* Marks more epochs than the ring holds, without a pause, and ends the run at once. The report and the journal have
   all of them. */
#include "check.h"

#include <sys/mman.h>

enum way { DESTROY, RELEASE, EXIT, WAYS };

/* The ways to end a run, and how long each waits for the run's files. If the machine takes longer, they may be
   incomplete. */
static const struct {
    const char *name;
    double patience_s;
} WAY[] = {{"ct_destroy", 1.9}, {"ct_release and exit", 0.9}, {"exit", 0.9}};

static ct_tracker *tracker;
static double *left_at; /* shared with the children: when the last epoch ended */

static void in_the_child(enum way way, int epochs, const char *folder) {
    char options[512];
    int n;
    print_to(options, sizeof options, "sim_cpu=x:10 intensity=50 job=off log_dir=%s", folder);
    tracker = create(options);
    for (n = 0; n < epochs; n++) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    }
    *left_at = now_s();
    if (way == DESTROY) ct_destroy(tracker);
    if (way == RELEASE) ct_release(tracker);
    exit(0);
}

/* The whole text of the folder's only file with this ending; free() it. */
static char *take_file(const char *folder, const char *ending) {
    char path[600], *text = NULL;
    struct dirent *entry;
    DIR *dir = opendir(folder);
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        const char *end = strrchr(entry->d_name, '.');
        struct stat there;
        if (end == NULL || strcmp(end, ending) != 0) continue;
        CHECK(text == NULL);
        print_to(path, sizeof path, "%s/%s", folder, entry->d_name);
        CHECK_INT(stat(path, &there), 0);
        text = (char *)malloc((size_t)there.st_size + 1);
        CHECK(text != NULL && read_text(path, text, (size_t)there.st_size + 1));
    }
    closedir(dir);
    return text;
}

static long long number_after(const char *text, const char *label) {
    const char *found = strstr(text, label);
    return found == NULL ? -1 : atoll(found + strlen(label));
}

/* The number of epochs in the journal. A line may have several. */
static long long epochs_of(const char *journal) {
    static const char label[] = "{\"index\":";
    long long done = 0;
    const char *line;
    for (line = journal; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, label, sizeof label - 1) == 0) {
            CHECK(number_after(line, label) >= done);
            done += number_after(line, "\"count\":");
        }
    }
    return done;
}

static void ends_whole(enum way way, int epochs) {
    char folder[256], *report, *journal;
    long long reported, written;
    double took;
    pid_t child;
    make_folder(folder, sizeof folder);
    child = fork();
    if (child == 0) in_the_child(way, epochs, folder);
    check_child(child);
    took = now_s() - *left_at;
    report = take_file(folder, ".json");
    journal = take_file(folder, ".jsonl");
    reported = report == NULL ? -1 : number_after(report, "\"epochs_done\":");
    written = journal == NULL ? -1 : epochs_of(journal);
    free(report);
    free(journal);
    remove_folder(folder);
    if (reported == epochs && written == epochs) return;
    if (took > WAY[way].patience_s) {
        printf("skipped: %s took %.3f s, longer than it waits for the files\n", WAY[way].name, took);
        fflush(stdout); /* before the next fork */
        return;
    }
    check_failed(__FILE__, __LINE__, "%s: of %d epochs the report has %lld, the journal %lld; the end took %.3f s", WAY[way].name, epochs,
                 reported, written, took);
}

int main(void) {
    int way, epochs = getenv("CT_VALGRIND") == NULL ? 60000 : 200; /* valgrind takes seconds to write thousands */
    left_at = (double *)mmap(NULL, sizeof *left_at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(left_at != (double *)MAP_FAILED);
    for (way = DESTROY; way < WAYS; way++) ends_whole((enum way)way, epochs);
    return 0;
}
