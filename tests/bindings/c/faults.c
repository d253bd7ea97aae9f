/*
 * A package's counter at a known power fails in every known way: its file is empty, holds garbage, is removed and comes
 * back; its value is reset or jumps. The application's calls succeed, and the report has the energy that was used.
 */
#include "check.h"

#include <pthread.h>

#define WATTS 100.0

enum trouble { HEALTHY, EMPTY, GARBAGE, NEGATIVE, GONE };

/* A thread that writes the counter every millisecond, as the kernel would. */
struct device {
    struct powercap tree;
    pthread_t thread;
    pthread_mutex_t lock;
    enum trouble trouble;
    double offset_uj;
    int stop;
    double longest_s; /* between two writes: the machine causes this error, not the library */
};

static void write_counter(struct device *device, double since) {
    char text[32], path[400];
    switch (device->trouble) {
    case EMPTY:
        powercap_write(&device->tree, "energy_uj", "");
        return;
    case GARBAGE:
        powercap_write(&device->tree, "energy_uj", "12x4\n");
        return;
    case NEGATIVE:
        powercap_write(&device->tree, "energy_uj", "-1\n");
        return;
    case GONE:
        print_to(path, sizeof path, "%s/energy_uj", device->tree.zone);
        (void)unlink(path);
        return;
    default:
        print_to(text, sizeof text, "%.0f\n", 1e10 + device->offset_uj + WATTS * 1e6 * (now_s() - since));
        powercap_write(&device->tree, "energy_uj", text);
    }
}

static void *run_device(void *argument) {
    struct device *device = (struct device *)argument;
    double since = now_s(), last = since;
    int stop = 0;
    while (!stop) {
        double now;
        pthread_mutex_lock(&device->lock);
        write_counter(device, since);
        now = now_s();
        if (now - last > device->longest_s) device->longest_s = now - last;
        stop = device->stop;
        pthread_mutex_unlock(&device->lock);
        last = now;
        sleep_ms(1);
    }
    return NULL;
}

static void device_start(struct device *device) {
    memset(device, 0, sizeof *device);
    powercap_make(&device->tree);
    CHECK_INT(pthread_mutex_init(&device->lock, NULL), 0);
    powercap_write(&device->tree, "energy_uj", "10000000000\n");
    CHECK_INT(pthread_create(&device->thread, NULL, run_device, device), 0);
}

static void device_stop(struct device *device) {
    pthread_mutex_lock(&device->lock);
    device->stop = 1;
    pthread_mutex_unlock(&device->lock);
    CHECK_INT(pthread_join(device->thread, NULL), 0);
    CHECK_INT(pthread_mutex_destroy(&device->lock), 0);
    powercap_remove(&device->tree);
}

static void set(struct device *device, enum trouble trouble, double jump_uj) {
    pthread_mutex_lock(&device->lock);
    device->trouble = trouble;
    device->offset_uj += jump_uj;
    pthread_mutex_unlock(&device->lock);
}

static ct_tracker *tracker_of(const struct device *device) {
    char options[400];
    print_to(options, sizeof options, "sysroot='%s' components=cpu interval=0.01", device->tree.root);
    return create(options);
}

/* The allowed error of this run's energy: half of it, and the power near a fault that a late writer distorts. A fault
   that is counted adds 500 J or more. The exact figure depends on when the threads of this machine run. */
static double slack_j(const struct device *device, double truth_j) {
    return 0.5 * truth_j + WATTS * (device->longest_s + 0.01);
}

/* Waits until the report has this text. */
static void await_text(ct_tracker *tracker, const char *part) {
    const double deadline = now_s() + AWAIT_S;
    char *json = report_of(tracker, "json");
    while (strstr(json, part) == NULL && now_s() < deadline) {
        free(json);
        sleep_ms(5);
        json = report_of(tracker, "json");
    }
    CHECK_HAS(json, part);
    free(json);
}

static void faults_that_pass(void) {
    static const struct {
        enum trouble trouble;
        double jump_uj;
    } script[] = {{HEALTHY, 0.0}, {EMPTY, 0.0}, {GARBAGE, 0.0}, {NEGATIVE, 0.0}, {GONE, 0.0}, {HEALTHY, -5e8}, {HEALTHY, 1e12}, {HEALTHY, -1e12}};
    struct device device;
    ct_tracker *tracker;
    double began, truth_j, slack;
    char *json, message[1024];
    size_t n, reported = 0;
    device_start(&device);
    tracker = tracker_of(&device);
    began = now_s();
    for (n = 0; n < sizeof script / sizeof *script; n++) {
        CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
        sleep_ms(70);
        set(&device, script[n].trouble, script[n].jump_uj);
        sleep_ms(60);
        set(&device, HEALTHY, 0.0);
        sleep_ms(70);
        CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    }
    truth_j = WATTS * (now_s() - began);
    slack = slack_j(&device, truth_j);
    CHECK_BETWEEN(value_of(tracker, "/usage/energy_j"), truth_j - slack, truth_j + slack);
    CHECK_BETWEEN(value_of(tracker, "/components/0/energy_j"), truth_j - slack, truth_j + slack);
    CHECK_BETWEEN(value_of(tracker, "/components/0/coverage"), 0.01, 1.0);
    CHECK_BETWEEN(value_of(tracker, "/usage/coverage"), 0.01, 1.0);
    for (n = 0; n < sizeof script / sizeof *script; n++) {
        char pointer[64];
        double duration_s, energy_j;
        print_to(pointer, sizeof pointer, "/epochs/%d/duration_s", (int)n);
        duration_s = value_of(tracker, pointer);
        print_to(pointer, sizeof pointer, "/epochs/%d/energy_j", (int)n);
        energy_j = value_of(tracker, pointer);
        CHECK_BETWEEN(energy_j, WATTS * duration_s - slack, WATTS * duration_s + slack);
    }
    json = report_of(tracker, "json");
    CHECK_HAS(json, "\"source\":\"rapl\"");
    CHECK_HAS(json, "\"status\":\"reset\"");
    free(json);
    while (ct_message(tracker, message, sizeof message, NULL) == CT_OK) {
        if (strstr(message, "package-0") != NULL) reported++;
    }
    CHECK(reported > 0);
    ct_destroy(tracker);
    device_stop(&device);
}

static void a_device_that_stays_away(void) {
    struct device device;
    ct_tracker *tracker;
    double began, truth_j, energy_j = 0.0;
    device_start(&device);
    tracker = tracker_of(&device);
    began = now_s();
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    sleep_ms(200);
    set(&device, GONE, 0.0);
    await_text(tracker, "\"status\":\"lost\"");
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    truth_j = WATTS * (now_s() - began);
    CHECK_STATUS(ct_value(tracker, "/usage/energy_j", &energy_j), CT_OK);
    CHECK_BETWEEN(energy_j, 0.0, truth_j + slack_j(&device, truth_j));
    CHECK_BETWEEN(value_of(tracker, "/components/0/coverage"), 0.0, 0.9999);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    CHECK_EPOCHS(tracker, 2);
    ct_destroy(tracker);
    device_stop(&device);
}

/* A pipe replaces the counter: a read of it would wait for ever. */
static void a_pipe_instead_of_a_counter(void) {
    struct powercap tree;
    ct_tracker *tracker;
    char options[400], path[400];
    double start;
    powercap_make(&tree);
    print_to(options, sizeof options, "sysroot='%s' components=cpu interval=0.01", tree.root);
    tracker = create(options);
    print_to(path, sizeof path, "%s/energy_uj", tree.zone);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(mkfifo(path, 0600), 0);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    await_text(tracker, "\"status\":\"lost\"");
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    ct_destroy(tracker);
    /* No thread waits at the pipe. */
    start = now_s();
    while (entries_of("/proc/self/task") > 1 && now_s() < start + AWAIT_S)
        sleep_ms(5);
    CHECK_INT(entries_of("/proc/self/task"), 1);
    powercap_remove(&tree);
}

int main(void) {
    faults_that_pass();
    a_device_that_stays_away();
    a_pipe_instead_of_a_counter();
    return 0;
}
