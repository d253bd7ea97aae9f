/* Options by name: which are refused, and with which message. The string takes precedence over the environment. */
#include "check.h"

struct refusal {
    const char *options;
    const char *key;
    const char *value;
};

/* Every key at least once. */
static const struct refusal refusals[] = {
    {"epochs=-1", "epochs", "-1"},
    {"epochs=1.5", "epochs", "1.5"},
    {"epochs=many", "epochs", "many"},
    {"epochs=18446744073709551616", "epochs", "18446744073709551616"},
    {"epochs=", "epochs", ""},
    {"components=cpu,tpu", "components", "cpu,tpu"},
    {"interval=0", "interval", "0"},
    {"interval=3601", "interval", "3601"},
    {"interval=nan", "interval", "nan"},
    {"interval=-inf", "interval", "-inf"},
    {"devices=''", "devices", ""},
    {"location=Atlantis", "location", "Atlantis"},
    {"intensity=coal", "intensity", "coal"},
    {"intensity=-3", "intensity", "-3"},
    {"api_key=''", "api_key", ""},
    {"pue=0.99", "pue", "0.99"},
    {"pue=11", "pue", "11"},
    {"name=''", "name", ""},
    {"log_dir=''", "log_dir", ""},
    {"log_prefix=''", "log_prefix", ""},
    {"resume=''", "resume", ""},
    {"forecast_after=0", "forecast_after", "0"},
    {"monitor_epochs=none", "monitor_epochs", "none"},
    {"level=90", "level", "90"},
    {"budget_kwh=0", "budget_kwh", "0"},
    {"budget_g=-1", "budget_g", "-1"},
    {"budget_h=soon", "budget_h", "soon"},
    {"sim_cpu=nowatts", "sim_cpu", "nowatts"},
    {"sim_gpu=x:10:1.5", "sim_gpu", "x:10:1.5"},
    {"sysroot=''", "sysroot", ""},
    {"nvml=''", "nvml", ""},
    {"epochs=3 pue=1.2 level=x", "level", "x"},
    {"epochs=3 epochs=x", "epochs", "x"},
    {"frobnicate=7", "frobnicate", "unknown option"},
    {"EPOCHS=7", "EPOCHS", "epochs"},
    {"epoch=7", "epoch", "epochs"},
    {"intervall=7", "intervall", "interval"},
    {"epochs", "epochs", "key=value"},
    {"=3", "key=value", ""},
    {"name='open", "name", "quote"},
    {"name='a'b", "name", ""},
    {"name=\xff", "options", "UTF-8"},
};

/* A refused ct_create does not change the tracker pointer. */
static ct_tracker *untouched(void) {
    static char here;
    return (ct_tracker *)(void *)&here;
}

static void refused(const char *options) {
    ct_tracker *tracker = untouched();
    ct_status status = ct_create(options, &tracker);
    if (status != CT_EINVAL) check_failed(__FILE__, __LINE__, "ct_create(\"%s\") is %d, not CT_EINVAL", options, (int)status);
    CHECK(tracker == untouched());
}

static void what_is_wrong_is_named(void) {
    size_t n;
    char *longest = (char *)malloc(10000);
    for (n = 0; n < sizeof refusals / sizeof *refusals; n++) {
        refused(refusals[n].options);
        CHECK_HAS(ct_last_error(), refusals[n].key);
        CHECK_HAS(ct_last_error(), refusals[n].value);
    }
    CHECK(longest != NULL);
    strcpy(longest, "pue=");
    memset(longest + 4, 'x', 9995);
    longest[9999] = '\0';
    refused(longest);
    CHECK(strncmp(ct_last_error(), "pue", 3) == 0);
    free(longest);
}

static void values_with_spaces_and_quotes(void) {
    ct_tracker *tracker = create(" \t\n name = 'it\\'s \\\\ \"here\"'  epochs=3\npue=1.5 ");
    char *json = report_of(tracker, "json");
    CHECK_HAS(json, "\"name\":\"it's \\\\ \\\"here\\\"\"");
    free(json);
    CHECK_INT(value_of(tracker, "/run/epochs_planned"), 3);
    CHECK_BETWEEN(value_of(tracker, "/pue"), 1.5, 1.5);
    ct_destroy(tracker);
    tracker = create("epochs=3 epochs=4");
    CHECK_INT(value_of(tracker, "/run/epochs_planned"), 4);
    ct_destroy(tracker);
    ct_destroy(create(""));
    ct_destroy(create("  "));
}

static void the_environment(void) {
    ct_tracker *tracker;
    CHECK(setenv("CARBONTRACKER_EPOCHS", "7", 1) == 0);
    CHECK(setenv("CARBONTRACKER_PUE", "1.25", 1) == 0);
    tracker = create(NULL);
    CHECK_INT(value_of(tracker, "/run/epochs_planned"), 7);
    CHECK_BETWEEN(value_of(tracker, "/pue"), 1.25, 1.25);
    ct_destroy(tracker);
    tracker = create("epochs=9");
    CHECK_INT(value_of(tracker, "/run/epochs_planned"), 9);
    CHECK_BETWEEN(value_of(tracker, "/pue"), 1.25, 1.25);
    ct_destroy(tracker);

    CHECK(setenv("CARBONTRACKER_PUE", "half", 1) == 0);
    refused("epochs=9");
    CHECK_HAS(ct_last_error(), "CARBONTRACKER_PUE");
    CHECK_HAS(ct_last_error(), "half");
    CHECK(setenv("CARBONTRACKER_PUE", "\xff", 1) == 0);
    refused("epochs=9"); /* a value that is not text is invalid; it does not count as absent */
    CHECK_HAS(ct_last_error(), "CARBONTRACKER_PUE");
    CHECK(unsetenv("CARBONTRACKER_PUE") == 0);
    CHECK(unsetenv("CARBONTRACKER_EPOCHS") == 0);
}

static void misspelt_variables(void) {
    static const char *const names[] = {"CARBONTRACKER_EPOCH", "CARBONTRACKER_APIKEY", "CARBONTRACKER_LIB", "CARBONTRACKER_REPORT"};
    ct_tracker *tracker;
    char message[4096], *json;
    int notes = 0;
    size_t n;
    for (n = 0; n < sizeof names / sizeof *names; n++) CHECK(setenv(names[n], "geheim", 1) == 0);
    tracker = create("sim_cpu=x:10 intensity=50");
    json = report_of(tracker, "json");
    CHECK_HAS(json, "CARBONTRACKER_EPOCH has no effect, because no such option exists: did you mean CARBONTRACKER_EPOCHS?");
    CHECK_HAS(json, "CARBONTRACKER_APIKEY has no effect, because no such option exists: did you mean CARBONTRACKER_API_KEY?");
    CHECK(strstr(json, "geheim") == NULL && strstr(json, "CARBONTRACKER_LIB ") == NULL);
    free(json);
    while (ct_message(tracker, message, sizeof message, NULL) == CT_OK) {
        if (strstr(message, "has no effect") != NULL) notes++;
        CHECK(strstr(message, "geheim") == NULL);
    }
    CHECK_INT(notes, 2);
    ct_destroy(tracker);
    for (n = 0; n < sizeof names / sizeof *names; n++) CHECK(unsetenv(names[n]) == 0);
}

static void what_turns_it_off(void) {
    static const char *const no[] = {"", "0", "no", "False", " off "}, *const yes[] = {"1", "yes", "true", "on", "please"};
    size_t n;
    for (n = 0; n < sizeof no / sizeof *no; n++) {
        CHECK(setenv("CARBONTRACKER_DISABLE", no[n], 1) == 0);
        ct_destroy(create("sim_cpu=x:10"));
    }
    for (n = 0; n < sizeof yes / sizeof *yes; n++) {
        ct_tracker *tracker = NULL;
        CHECK(setenv("CARBONTRACKER_DISABLE", yes[n], 1) == 0);
        CHECK_STATUS(ct_create("sim_cpu=x:10", &tracker), CT_DISABLED);
    }
    CHECK(unsetenv("CARBONTRACKER_DISABLE") == 0);
}

/* A message names the variable of a value from the environment, even if the value is checked after all options. */
static void where_a_wrong_value_came_from(void) {
    static const char *const wrong[][2] = {
        {"CARBONTRACKER_LOCATION", "Atlantis"}, {"CARBONTRACKER_WHAT_IF", "Atlantis"},  {"CARBONTRACKER_DEVICES", "some"},
        {"CARBONTRACKER_INTENSITY", "/no.csv"}, {"CARBONTRACKER_MARGINAL", "watttime:x y"},
    };
    size_t n;
    char message[4096];
    ct_tracker *tracker = NULL;
    for (n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        char words[128];
        print_to(words, sizeof words, "%s='%s'", wrong[n][0], wrong[n][1]);
        CHECK(setenv(wrong[n][0], wrong[n][1], 1) == 0);
        CHECK_STATUS(ct_create(NULL, &tracker), CT_EINVAL);
        CHECK_HAS(ct_last_error(), words);
        CHECK(unsetenv(wrong[n][0]) == 0);
    }
    CHECK(setenv("CARBONTRACKER_RESUME", "/dev/null", 1) == 0);
    tracker = create("sim_cpu=x:10 intensity=50");
    do CHECK_STATUS(ct_message(tracker, message, sizeof message, NULL), CT_OK);
    while (strstr(message, "CARBONTRACKER_RESUME=/dev/null: ") == NULL);
    ct_destroy(tracker);
    CHECK(unsetenv("CARBONTRACKER_RESUME") == 0);
}

static void keys_stay_secret(void) {
    static const char *const formats[] = {"text", "json", "csv", "prometheus"};
    ct_tracker *tracker = create("api_key=geheim sim_cpu=x:10");
    char message[4096];
    size_t n;
    for (n = 0; n < sizeof formats / sizeof *formats; n++) {
        char *report = report_of(tracker, formats[n]);
        CHECK(strstr(report, "geheim") == NULL);
        free(report);
    }
    while (ct_message(tracker, message, sizeof message, NULL) == CT_OK) CHECK(strstr(message, "geheim") == NULL);
    ct_destroy(tracker);
}

int main(void) {
    what_is_wrong_is_named();
    values_with_spaces_and_quotes();
    the_environment();
    misspelt_variables();
    what_turns_it_off();
    where_a_wrong_value_came_from();
    keys_stay_secret();
    return 0;
}
