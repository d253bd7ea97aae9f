/*
 * A fake libnvidia-ml. It returns what the driver would return for GPUs whose power is known at every instant.
 * tests/common/fake_nvml/mod.rs compiles it and sets its state by the standin_ functions. Each copy of the file that a
 * process loads is a separate driver.
 *
 * As with real GPUs the energy counter is updated every 20 ms. Power is updated about every 100 ms and is the mean of
 * the last 25 ms or 1 s. Each GPU has its own phase. After a fork NVML is not initialised.
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "types.h"

#define ENERGY_STEP_NS 20000000u
#define POWER_WINDOW_NS 25000000u

/* One GPU, with the layout of Gpu in tests/common/fake_nvml/mod.rs. */
struct gpu {
    double high_w, low_w, period_s, phase_s;
    double limit_w;         /* enforced; below 0: not supported */
    double limits_w[3];     /* managed, default, and highest that can be set; 0: not supported */
    double scopes[3];       /* field values for GPU, module and memory, as shares of the power; 0: not supported */
    double power_share;     /* the result of nvmlDeviceGetPowerUsage, as a share of the power */
    uint64_t power_step_ns; /* time between two updates of the power */
    uint64_t power_window_ns; /* the power is a mean over this time */
    uint64_t since_ns;      /* when the counter was 0 */
    uint64_t stalled_ns;    /* when the counter stops; 0: it does not */
    uint64_t hang_until_ns; /* calls for this GPU last until then */
    uint64_t answer_until_ns; /* these calls return `answer` until then; 0: always */
    uint64_t glitch_ns[2];  /* the power reads 0xffffffff mW from the first to the second */
    int32_t answer;         /* the result of these calls */
    int32_t has_counter;
    int32_t slices[SLICES]; /* of each MIG instance; all 0: MIG is off */
    uint32_t pids[PIDS];    /* processes; with MIG the n-th runs on the n-th instance */
    uint32_t used[PIDS];    /* their use of the GPU, %; all 0: not supported */
    char name[TEXT], uuid[TEXT];
};

/* The driver, with the layout of Driver in tests/common/fake_nvml/mod.rs. */
struct driver {
    double delay_s, init_delay_s;
    uint32_t counts[3]; /* wrong counts of GPUs, MIG instances and processes; 0: the true count */
    uint32_t count;
    int32_t init_answer, count_answer; /* results of nvmlInit and nvmlDeviceGetCount */
    uint64_t answers_until_ns;         /* until then; 0: always */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gpu gpus[GPUS];
static struct driver driver;
static uint32_t owner; /* the process that initialised it */
uint64_t standin_tally[3]; /* calls, initialisations, and initialisations without a shutdown */

/* A handle is an address: that of a GPU, or one of the addresses after it for its MIG instances. */
static char handles[GPUS][1 + SLICES];

/* The library's clock: the monotonic clock, with a start long before the machine's. */
static uint64_t real_clock(void) {
    static const uint64_t start = 1ull << 60;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return start + (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void real_sleep(uint64_t ns) {
    struct timespec left = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
    nanosleep(&left, NULL);
}

static uint32_t real_process(void) {
    return (uint32_t)getpid();
}

/* The clock, the sleep and the process number. A test may replace them by those of a simulated world. */
static uint64_t (*now_ns)(void) = real_clock;
static void (*sleep_ns)(uint64_t ns) = real_sleep;
static uint32_t (*process)(void) = real_process;

void standin_enter(uint64_t (*clock)(void), void (*sleep)(uint64_t ns), uint32_t (*number)(void)) {
    now_ns = clock;
    sleep_ns = sleep;
    process = number;
}

/* Whether an answer that ends at this instant still applies. */
static int lasts(uint64_t until_ns) {
    return until_ns == 0 || now_ns() < until_ns;
}

static void sleep_s(double seconds) {
    if (seconds > 0) sleep_ns((uint64_t)(seconds * 1e9));
}

/* Energy up to an instant, J: that of a square wave, in closed form. */
static double joules(const struct gpu *gpu, uint64_t ns) {
    double t = (double)ns * 1e-9 + gpu->phase_s, half = gpu->period_s / 2;
    double rounds = (double)(uint64_t)(t / gpu->period_s), into = t - rounds * gpu->period_s;
    return rounds * (gpu->high_w + gpu->low_w) * half + gpu->high_w * (into < half ? into : half) +
           gpu->low_w * (into > half ? into - half : 0);
}

/* The last instant at which a number was updated. */
static uint64_t refreshed(uint64_t ns, uint64_t step_ns, uint64_t phase_ns) {
    phase_ns %= step_ns;
    return (ns - phase_ns) / step_ns * step_ns + phase_ns;
}

/* Sets the state. Returns 0 if the two languages do not have the same layout of a GPU. */
int standin_set(const struct driver *wanted, const struct gpu all[GPUS], size_t size) {
    if (size != sizeof gpus) return 0;
    pthread_mutex_lock(&lock);
    driver = *wanted;
    memcpy(gpus, all, sizeof gpus);
    pthread_mutex_unlock(&lock);
    return 1;
}

/* Begins a call and copies the driver's state. Returns whether NVML is initialised. */
static nvmlReturn_t ask(struct driver *copy) {
    int is_ready;
    pthread_mutex_lock(&lock);
    standin_tally[0]++;
    *copy = driver;
    is_ready = standin_tally[2] > 0 && owner == process();
    pthread_mutex_unlock(&lock);
    return is_ready ? SUCCESS : UNINITIALIZED;
}

/* Begins a call that is not for a GPU, and lasts as long as the driver takes. */
static nvmlReturn_t ask_driver(struct driver *copy) {
    nvmlReturn_t result = ask(copy);
    sleep_s(copy->delay_s);
    return result;
}

/* Begins a call for a handle. Gets the GPU's state halfway through the call, and the instance (0: the GPU itself). */
struct call {
    struct gpu gpu;
    struct driver driver;
    uint32_t index, instance;
    int is_mig;
    uint64_t at;
};

static struct gpu gpu_now(uint32_t index) {
    struct gpu copy;
    pthread_mutex_lock(&lock);
    copy = gpus[index];
    pthread_mutex_unlock(&lock);
    return copy;
}

static nvmlReturn_t ask_index(uint32_t index, uint32_t instance, struct call *call) {
    int n;
    memset(call, 0, sizeof *call);
    if (ask(&call->driver) != SUCCESS) return UNINITIALIZED;
    sleep_s(call->driver.delay_s / 2);
    if (index >= call->driver.count) return INVALID_ARGUMENT;
    call->index = index;
    call->instance = instance;
    for (call->gpu = gpu_now(index); now_ns() < call->gpu.hang_until_ns; call->gpu = gpu_now(index)) sleep_s(0.002);
    call->at = now_ns();
    for (n = 0; n < SLICES; n++) call->is_mig |= call->gpu.slices[n] > 0;
    sleep_s(call->driver.delay_s / 2);
    if (call->gpu.answer != SUCCESS && lasts(call->gpu.answer_until_ns)) return call->gpu.answer;
    return instance > 0 && call->gpu.slices[instance - 1] == 0 ? NOT_FOUND : SUCCESS;
}

static nvmlReturn_t ask_device(nvmlDevice_t device, struct call *call) {
    uintptr_t place = (uintptr_t)device - (uintptr_t)handles;
    if (device == NULL || place >= sizeof handles) return INVALID_ARGUMENT;
    return ask_index((uint32_t)(place / (1 + SLICES)), (uint32_t)(place % (1 + SLICES)), call);
}

/* Begins a call that only a whole GPU supports. */
static nvmlReturn_t ask_gpu(nvmlDevice_t device, struct call *call) {
    nvmlReturn_t result = ask_device(device, call);
    return result == SUCCESS && call->instance > 0 ? NOT_SUPPORTED : result;
}

static nvmlDevice_t handle(uint32_t index, uint32_t instance) {
    return (nvmlDevice_t)(void *)&handles[index][instance];
}

static nvmlReturn_t give_text(const char *text, char *out, unsigned length) {
    if (strlen(text) >= length) return INSUFFICIENT_SIZE;
    strcpy(out, text);
    return SUCCESS;
}

/* Instances have UUIDs: mig_uuid in tests/common/fake_nvml/mod.rs. */
static void write_uuid(const struct gpu *gpu, uint32_t index, uint32_t instance, char *out) {
    snprintf(out, TEXT, "%s", gpu->uuid);
    if (instance > 0) snprintf(out, TEXT, "MIG-%08x-0000-5000-8000-%012x", (unsigned)index, (unsigned)(instance - 1));
}

const char *nvmlErrorString(nvmlReturn_t result) {
    static const char *const words[] = {"The operation was successful", "Uninitialized", "Invalid Argument", "Not Supported"};
    return result >= SUCCESS && result <= NOT_SUPPORTED ? words[result] : "Unknown Error";
}

nvmlReturn_t nvmlInit_v2(void) {
    struct driver copy;
    (void)ask(&copy);
    sleep_s(copy.init_delay_s);
    if (copy.init_answer != SUCCESS && lasts(copy.answers_until_ns)) return copy.init_answer;
    pthread_mutex_lock(&lock);
    standin_tally[2] = owner == process() ? standin_tally[2] + 1 : 1;
    owner = process();
    standin_tally[1]++;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

nvmlReturn_t nvmlShutdown(void) {
    struct driver copy;
    nvmlReturn_t result = ask(&copy);
    pthread_mutex_lock(&lock);
    if (result == SUCCESS) standin_tally[2]--;
    pthread_mutex_unlock(&lock);
    return result;
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned length) {
    struct driver copy;
    nvmlReturn_t result = ask_driver(&copy);
    return result != SUCCESS ? result : give_text("12.550.54.15", version, length);
}

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned length) {
    struct driver copy;
    nvmlReturn_t result = ask_driver(&copy);
    return result != SUCCESS ? result : give_text("550.54.15", version, length);
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
    struct driver copy;
    nvmlReturn_t result = ask_driver(&copy);
    if (result == SUCCESS && copy.count_answer != SUCCESS && lasts(copy.answers_until_ns)) return copy.count_answer;
    if (result == SUCCESS) *count = copy.counts[0] > 0 ? copy.counts[0] : copy.count;
    return result;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
    struct call call;
    nvmlReturn_t result = ask_index(index, 0, &call);
    if (result == SUCCESS) *device = handle(index, 0);
    return result;
}

/* Only complete UUIDs, of GPUs and of MIG instances. */
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device) {
    struct driver copy;
    uint32_t index, instance;
    char known[TEXT];
    nvmlReturn_t result = ask_driver(&copy);
    if (result != SUCCESS) return result;
    for (index = 0; index < copy.count; index++) {
        struct gpu gpu = gpu_now(index);
        for (instance = 0; instance <= SLICES; instance++) {
            write_uuid(&gpu, index, instance, known);
            if (strcmp(known, uuid) != 0 || (instance > 0 && gpu.slices[instance - 1] == 0)) continue;
            *device = handle(index, instance);
            return gpu.answer;
        }
    }
    return NOT_FOUND;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length) {
    struct call call;
    char text[TEXT];
    nvmlReturn_t result = ask_device(device, &call);
    if (result != SUCCESS) return result;
    write_uuid(&call.gpu, call.index, call.instance, text);
    return give_text(text, uuid, length);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length) {
    struct call call;
    nvmlReturn_t result = ask_device(device, &call);
    return result != SUCCESS ? result : give_text(call.gpu.name, name, length);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index) {
    struct call call;
    nvmlReturn_t result = ask_device(device, &call);
    if (result == SUCCESS) *index = call.instance > 0 ? call.instance - 1 : call.index;
    return result;
}

/* The power that a GPU reports, mW: the mean over the time before its last update. */
static unsigned milliwatts(const struct call *call, double share, uint64_t window_ns) {
    uint64_t at = refreshed(call->at, call->gpu.power_step_ns, 37000000u + 13000000u * call->index);
    double mean = (joules(&call->gpu, at) - joules(&call->gpu, at - window_ns)) / ((double)window_ns * 1e-9) * 1e3;
    if (call->at >= call->gpu.glitch_ns[0] && call->at < call->gpu.glitch_ns[1]) return UINT32_MAX;
    return mean * share < UINT32_MAX ? (unsigned)(mean * share) : UINT32_MAX;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *power) {
    struct call call;
    nvmlReturn_t result = ask_gpu(device, &call);
    if (result == SUCCESS) *power = milliwatts(&call, call.gpu.power_share, call.gpu.power_window_ns);
    return result;
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned *limit) {
    struct call call;
    nvmlReturn_t result = ask_gpu(device, &call);
    if (result == SUCCESS && call.gpu.limit_w < 0) return NOT_SUPPORTED;
    if (result == SUCCESS) *limit = (unsigned)(call.gpu.limit_w * 1e3);
    return result;
}

static nvmlReturn_t give_limit(nvmlDevice_t device, int which, unsigned *limit) {
    struct call call;
    nvmlReturn_t result = ask_gpu(device, &call);
    if (result == SUCCESS && call.gpu.limits_w[which] <= 0) return NOT_SUPPORTED;
    if (result == SUCCESS) *limit = (unsigned)(call.gpu.limits_w[which] * 1e3);
    return result;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned *limit) {
    return give_limit(device, 0, limit);
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned *limit) {
    return give_limit(device, 1, limit);
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned *least, unsigned *most) {
    *least = 0;
    return give_limit(device, 2, most);
}

/* Functions that drivers of 2017 do not have. */
#ifndef STANDIN_OLD

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *energy) {
    struct call call;
    uint64_t at;
    double used;
    nvmlReturn_t result = ask_gpu(device, &call);
    if (result != SUCCESS) return result;
    if (!call.gpu.has_counter) return NOT_SUPPORTED;
    at = call.gpu.stalled_ns > 0 && call.gpu.stalled_ns < call.at ? call.gpu.stalled_ns : call.at;
    at = refreshed(at, ENERGY_STEP_NS, 3000000u + 7000000u * call.index);
    used = joules(&call.gpu, at) - joules(&call.gpu, call.gpu.since_ns);
    *energy = used > 0 ? (unsigned long long)(used * 1e3) : 0;
    return SUCCESS;
}

/* nvmlFieldValue_t: its value is a union of eight bytes. */
typedef struct {
    unsigned fieldId, scopeId;
    long long timestamp, latencyUsec;
    int valueType;
    nvmlReturn_t nvmlReturn;
    union {
        unsigned ui;
        unsigned long long ull;
    } value;
} nvmlFieldValue_t;

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values) {
    enum { POWER_AVERAGE = 185, POWER_INSTANT = 186, UNSIGNED_INT = 1 };
    struct call call;
    int n;
    nvmlReturn_t result = ask_gpu(device, &call);
    if (result != SUCCESS) return result;
    for (n = 0; n < count; n++) {
        nvmlFieldValue_t *value = &values[n];
        double share = value->scopeId < 3 ? call.gpu.scopes[value->scopeId] : 0;
        int is_power = value->fieldId == POWER_AVERAGE || value->fieldId == POWER_INSTANT;
        value->nvmlReturn = is_power && share > 0 ? SUCCESS : NOT_SUPPORTED;
        if (value->nvmlReturn != SUCCESS) continue;
        value->valueType = UNSIGNED_INT;
        value->value.ui = milliwatts(&call, share, value->fieldId == POWER_INSTANT ? POWER_WINDOW_NS : 1000000000u);
    }
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci) {
    struct call call;
    nvmlReturn_t result = ask_device(device, &call);
    if (result != SUCCESS) return result;
    memset(pci, 0, sizeof *pci);
    pci->bus = 0x10 + call.index;
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, "0000:%02X:00.0", pci->bus & 0xff);
    snprintf(pci->busId, sizeof pci->busId, "00000000:%02X:00.0", pci->bus & 0xff);
    return SUCCESS;
}

/* With MIG only a privileged caller gets all processes of a GPU. Each instance reports its own. */
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *infos) {
    struct call call;
    unsigned n, found = 0, room = *count;
    nvmlReturn_t result = ask_device(device, &call);
    if (result != SUCCESS) return result;
    if (call.instance == 0 && call.is_mig) return NO_PERMISSION;
    if (call.driver.counts[2] > 0) {
        *count = call.driver.counts[2];
        return INSUFFICIENT_SIZE;
    }
    for (n = 0; n < PIDS; n++) {
        if (call.gpu.pids[n] == 0 || (call.instance > 0 && n != call.instance - 1)) continue;
        if (infos != NULL && found < room) {
            memset(&infos[found], 0, sizeof *infos);
            infos[found].pid = call.gpu.pids[n];
            infos[found].gpuInstanceId = infos[found].computeInstanceId = 0xffffffffu;
        }
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

/* One sample of each process. */
nvmlReturn_t nvmlDeviceGetProcessUtilization(
    nvmlDevice_t device, nvmlProcessUtilizationSample_t *samples, unsigned *count, unsigned long long since_us) {
    struct call call;
    unsigned n, found = 0, room = *count;
    nvmlReturn_t result = ask_device(device, &call);
    (void)since_us;
    if (result != SUCCESS) return result;
    for (n = 0; n < PIDS; n++) {
        if (call.gpu.used[n] == 0) continue;
        if (samples != NULL && found < room) {
            memset(&samples[found], 0, sizeof *samples);
            samples[found].pid = call.gpu.pids[n];
            samples[found].timeStamp = now_ns() / 1000u;
            samples[found].smUtil = call.gpu.used[n];
        }
        found++;
    }
    *count = found;
    if (found == 0) return NOT_SUPPORTED;
    return samples == NULL || found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) {
    struct call call;
    nvmlReturn_t result = ask_gpu(device, &call);
    if (result == SUCCESS) *current = *pending = (unsigned)(call.is_mig || call.driver.counts[1] > 0);
    return result;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *count) {
    struct call call;
    nvmlReturn_t result = ask_gpu(device, &call);
    if (result == SUCCESS) *count = call.is_mig ? SLICES : 0;
    if (result == SUCCESS && call.driver.counts[1] > 0) *count = call.driver.counts[1];
    return result;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index, nvmlDevice_t *instance) {
    struct call call;
    nvmlReturn_t result = ask_gpu(device, &call);
    if (result != SUCCESS) return result;
    if (index >= SLICES) return INVALID_ARGUMENT;
    if (call.gpu.slices[index] == 0) return NOT_FOUND;
    *instance = handle(call.index, 1 + index);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t instance, nvmlDevice_t *device) {
    struct call call;
    nvmlReturn_t result = ask_device(instance, &call);
    if (result != SUCCESS) return result;
    if (call.instance == 0) return INVALID_ARGUMENT;
    *device = handle(call.index, 0);
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *is_instance) {
    struct call call;
    nvmlReturn_t result = ask_device(device, &call);
    if (result == SUCCESS) *is_instance = call.instance > 0;
    return result;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes) {
    struct call call;
    nvmlReturn_t result = ask_device(device, &call);
    if (result != SUCCESS) return result;
    if (call.instance == 0) return NOT_SUPPORTED;
    memset(attributes, 0, sizeof *attributes);
    attributes->gpuInstanceSliceCount = (unsigned)call.gpu.slices[call.instance - 1];
    attributes->computeInstanceSliceCount = attributes->gpuInstanceSliceCount;
    return SUCCESS;
}

#endif
