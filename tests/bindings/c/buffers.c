/* The library writes texts into the caller's buffer as snprintf does, and numbers through a pointer. */
#include "check.h"

/* The name has characters of two and three bytes. None of them may be cut in two. */
#define OPTIONS "epochs=10 forecast_after=1 sim_cpu=x:10 name='\xc3\xa9t\xc3\xa9 \xe2\x82\xac \\\\ \"q\"'"

static ct_tracker *after_an_epoch(void) {
    ct_tracker *tracker = create(OPTIONS);
    CHECK_STATUS(ct_epoch_begin(tracker), CT_OK);
    sleep_ms(20);
    CHECK_STATUS(ct_epoch_end(tracker), CT_OK);
    /* Waits for the epoch's last reading. From then on reports do not change. */
    CHECK_BETWEEN(value_of(tracker, "/epochs/0/energy_j"), 0.0, 1e6);
    return tracker;
}

/* Checks one call with a buffer of `cap` bytes against the whole text. */
static void check_cut(ct_status status, const char *got, size_t cap, size_t needed, const char *whole) {
    size_t length = strlen(whole), kept;
    CHECK_INT(needed, length + 1);
    CHECK_STATUS(status, cap > length ? CT_OK : CT_ERANGE);
    CHECK_INT(got[cap], '#'); /* nothing is written beyond the buffer */
    if (cap == 0) return;
    kept = strlen(got);
    CHECK(kept < cap && strncmp(got, whole, kept) == 0);
    CHECK(((unsigned char)whole[kept] & 0xc0) != 0x80);                  /* no character is cut in two ... */
    CHECK(kept + 4 > (cap - 1 < length ? cap - 1 : length));             /* ... and at most one is left out */
}

static void reports(ct_tracker *tracker) {
    static const char *const formats[] = {"text", "json", "csv", "prometheus"};
    static const char *const heads[] = {"\xc3\xa9t\xc3\xa9", "{\"schema\":1,", "index,", "# HELP carbontracker_"};
    const size_t small = (size_t)rounds(40) + 7; /* no shorter than a character */
    size_t n, cap;
    for (n = 0; n < 4; n++) {
        char *whole = report_of(tracker, formats[n]);
        size_t length = strlen(whole);
        char *got = (char *)malloc(length + 8);
        CHECK(got != NULL);
        CHECK(strncmp(whole, heads[n], strlen(heads[n])) == 0);
        CHECK_INT(whole[length - 1], '\n');
        /* Every small size, then the sizes around the exact one. */
        for (cap = 0; cap <= length + 3; cap = cap == small ? length - 3 : cap + 1) {
            size_t needed = 0;
            ct_status status;
            memset(got, '#', length + 8);
            status = ct_report(tracker, formats[n], got, cap, &needed);
            check_cut(status, got, cap, needed, whole);
        }
        CHECK_STATUS(ct_report(tracker, formats[n], got, length + 1, NULL), CT_OK);
        CHECK_TEXT(got, whole);
        free(got);
        free(whole);
    }
}

static void no_such_format(ct_tracker *tracker) {
    static const char *const formats[] = {"", "JSON", "json ", "yaml", "\xff"};
    size_t n, needed = 77;
    for (n = 0; n < sizeof formats / sizeof *formats; n++) {
        char text[16] = "before";
        CHECK_STATUS(ct_report(tracker, formats[n], text, sizeof text, &needed), CT_EINVAL);
        CHECK_TEXT(text, "");
        CHECK_INT(needed, 77);
    }
    CHECK_STATUS(ct_report(tracker, "yaml", NULL, 0, NULL), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "'yaml'");
    CHECK_HAS(ct_last_error(), "prometheus");
}

static void escaping(ct_tracker *tracker) {
    char *json = report_of(tracker, "json"), *prometheus = report_of(tracker, "prometheus");
    CHECK_HAS(json, "\xe2\x82\xac \\\\ \\\"q\\\"");
    CHECK_HAS(prometheus, "\xe2\x82\xac \\\\ \\\"q\\\"");
    free(json);
    free(prometheus);
}

static void messages(ct_tracker *tracker) {
    char whole[4096], got[4096];
    size_t needed = 0, cap;
    int forecasts = 0;
    CHECK_STATUS(ct_message(tracker, NULL, 0, &needed), CT_ERANGE);
    CHECK(needed > 1 && needed < sizeof whole);
    /* The first message stays queued as long as it does not fit. Then the call returns it whole. */
    for (cap = 0; cap < needed; cap++) {
        size_t again = 0;
        memset(got, '#', sizeof got);
        CHECK_STATUS(ct_message(tracker, got, cap, &again), CT_ERANGE);
        CHECK_INT(again, needed);
        CHECK_INT(got[cap], '#');
        if (cap > 0) CHECK(strlen(got) < cap);
    }
    memcpy(whole, got, sizeof whole); /* the longest part so far */
    CHECK_STATUS(ct_message(tracker, got, needed, NULL), CT_OK);
    CHECK_INT(strlen(got) + 1, needed);
    CHECK(strncmp(got, whole, strlen(whole)) == 0);
    do {
        CHECK(strlen(got) > 0);
        if (strncmp(got, "forecast after ", 15) == 0) forecasts++;
    } while (ct_message(tracker, got, sizeof got, &needed) == CT_OK);
    CHECK_INT(forecasts, 1);
    needed = 77;
    strcpy(got, "before");
    CHECK_STATUS(ct_message(tracker, got, sizeof got, &needed), CT_ENOENT);
    CHECK_TEXT(got, "");
    CHECK_STATUS(ct_message(tracker, NULL, 0, NULL), CT_ENOENT);
}

static void check_none(ct_tracker *tracker, const char *pointer, ct_status expected) {
    double value = 42.0;
    const ct_status status = ct_value(tracker, pointer, &value);
    if (status != expected)
        check_failed(__FILE__, __LINE__, "ct_value \"%s\" is %d, not %d", pointer, (int)status, (int)expected);
    CHECK_BETWEEN(value, 42.0, 42.0);
}

/* ct_text: a text as it is, anything else as JSON, with any buffer. */
static void texts(ct_tracker *tracker) {
    static const char *const pointers[] = {"/run/name", "/components/0", "/epochs", "/usage/duration_s"};
    static const char *const heads[] = {"\xc3\xa9t\xc3\xa9 \xe2\x82\xac \\ \"q\"", "{\"kind\":\"cpu\",", "[{\"index\":0,", "0."};
    char whole[8192], got[8192];
    size_t n, cap, needed;
    for (n = 0; n < 4; n++) {
        CHECK_STATUS(ct_text(tracker, pointers[n], whole, sizeof whole, &needed), CT_OK);
        CHECK(strncmp(whole, heads[n], strlen(heads[n])) == 0);
        for (cap = 0; cap < strlen(whole) + 3; cap += 1 + cap / 64) {
            ct_status status;
            memset(got, '#', sizeof got);
            status = ct_text(tracker, pointers[n], got, cap, &needed);
            check_cut(status, got, cap, needed, whole);
        }
    }
    CHECK_STATUS(ct_text(tracker, "/run/name", got, sizeof got, NULL), CT_OK);
    CHECK_TEXT(got, heads[0]);
    CHECK_STATUS(ct_text(tracker, "/run/job", got, sizeof got, NULL), CT_ENOENT);
    CHECK_TEXT(got, "");
    CHECK_STATUS(ct_text(tracker, "/run/nane", got, sizeof got, NULL), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "did you mean /run/name?");
}

static void values(ct_tracker *tracker) {
    static const char *const none[] = {"", "/run/name", "/run/state", "/usage", "/epochs", "/epochs/0",
                                       "/epochs/1/duration_s", "/epochs/0/gpu_j", "/components/7/energy_j"};
    static const char *const impossible[] = {
        "/", "nonsense", "usage/energy_j", "/usage/energy_j/", "/usage/energy_j/x", "/nonsense", "/epochs/",
        "/epochs/999/x", "/epochs/-/duration_s", "/epochs/-1/duration_s", "/epochs/00/duration_s",
        "/epochs/+0/duration_s", "/epochs/0/nonsense", "/epochs/99999999999999999999/duration_s",
        "/components/00/energy_j", "/usage/length", "/~", "/~2", "\xc3\xa9"};
    size_t n;
    double value = 42.0;
    CHECK_BETWEEN(value_of(tracker, "/epochs/0/duration_s"), 0.02, 60.0);
    CHECK_BETWEEN(value_of(tracker, "/usage/energy_j"), 0.1, 600.0);
    CHECK_BETWEEN(value_of(tracker, "/components/0/energy_j"), 0.1, 600.0);
    CHECK_BETWEEN(value_of(tracker, "/forecast/energy_j/high"), 0.1, 1e6);
    CHECK_INT(value_of(tracker, "/schema"), 1);
    CHECK_INT(value_of(tracker, "/epochs/length"), 1);
    for (n = 0; n < sizeof none / sizeof *none; n++) check_none(tracker, none[n], CT_ENOENT);
    for (n = 0; n < sizeof impossible / sizeof *impossible; n++) check_none(tracker, impossible[n], CT_EINVAL);
    CHECK_STATUS(ct_value(tracker, "usage/enrgy_j", &value), CT_EINVAL);
    CHECK_HAS(ct_last_error(), "did you mean /usage/energy_j?");
    CHECK_STATUS(ct_value(tracker, "/\xff", &value), CT_EINVAL);
    CHECK_BETWEEN(value, 42.0, 42.0);
}

int main(void) {
    ct_tracker *tracker = after_an_epoch();
    reports(tracker);
    no_such_format(tracker);
    escaping(tracker);
    messages(tracker);
    texts(tracker);
    values(tracker);
    ct_destroy(tracker);
    return 0;
}
