/*
 * An application sets floating-point traps, a rounding direction and flush-to-zero, as -ffpe-trap and -ffast-math do.
 * The library causes no trap and does not change this environment. The library's numbers do not depend on it.
 */
#include "check.h"

#include <fenv.h>
#include <math.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

enum { TRAPS = FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW, FLUSH = 0x8040 /* flush to zero, denormals are zero */ };

/* Everything that an application can set, and the flags raised so far. */
struct floats {
    int rounding;
    int raised;
    int traps;
    unsigned control;
};

static struct floats floats_now(void) {
    struct floats now;
    now.rounding = fegetround();
    now.raised = fetestexcept(FE_ALL_EXCEPT);
    now.traps = fegetexcept();
#ifdef __SSE__
    now.control = _mm_getcsr() & ~0x3fu; /* without the flags, which are `raised` */
#else
    now.control = 0;
#endif
    return now;
}

static struct floats before;

static void unchanged(const char *call, int line) {
    struct floats now = floats_now();
    if (now.rounding != before.rounding) check_failed(__FILE__, line, "%s: rounding was %#x, is %#x", call, before.rounding, now.rounding);
    if (now.raised != before.raised) check_failed(__FILE__, line, "%s: raised flags were %#x, are %#x", call, before.raised, now.raised);
    if (now.traps != before.traps) check_failed(__FILE__, line, "%s: traps were %#x, are %#x", call, before.traps, now.traps);
    if (now.control != before.control) check_failed(__FILE__, line, "%s: MXCSR was %#x, is %#x", call, before.control, now.control);
}

#define QUIETLY(call)                  \
    do {                               \
        before = floats_now();         \
        call;                          \
        unchanged(#call, __LINE__);    \
    } while (0)

static void everything(void) {
    static const char *const formats[] = {"text", "json", "csv", "prometheus"};
    ct_tracker *tracker = NULL;
    char text[16384];
    size_t n;
    double value = 0.0;
    int round;
    feclearexcept(FE_ALL_EXCEPT);
    QUIETLY(CHECK_STATUS(ct_create("pue=half", &tracker), CT_EINVAL));
    /* 1.15 and 0.7 are above their nearest doubles. A reader that rounds upward would return the next doubles. */
    QUIETLY(CHECK_STATUS(ct_create("epochs=100 interval=0.001 sim_cpu=x:100:0.7 sim_gpu=y:0:0 pue=1.15 budget_kwh=0.1", &tracker), CT_OK));
    for (round = 0; round < 20; round++) {
        QUIETLY(CHECK_STATUS(ct_epoch_begin(tracker), CT_OK));
        QUIETLY(CHECK_STATUS(ct_progress(tracker, 1, 3), CT_OK));
        QUIETLY(CHECK_STATUS(ct_run_progress(tracker, 0.1, 0.3), CT_OK));
        QUIETLY(CHECK_STATUS(ct_run_progress(tracker, NAN, 0.3), CT_EINVAL));
        sleep_ms(10);
        if (round % 5 == 4) {
            QUIETLY(CHECK_STATUS(ct_epoch_cancel(tracker), CT_OK));
        } else {
            QUIETLY(CHECK_STATUS(ct_epoch_end(tracker), CT_OK));
        }
    }
    QUIETLY(CHECK_STATUS(ct_value(tracker, "/pue", &value), CT_OK));
    CHECK_BETWEEN(value, 1.15, 1.15);
    QUIETLY(CHECK_STATUS(ct_value(tracker, "/components/0/mean_power_w", &value), CT_OK));
    CHECK(value > 69.999999 && value < 70.000001);
    QUIETLY(CHECK_STATUS(ct_value(tracker, "/forecast/energy_j/value", &value), CT_OK));
    QUIETLY(CHECK_STATUS(ct_value(tracker, "/nonsense", &value), CT_EINVAL));
    for (n = 0; n < 4; n++) QUIETLY(CHECK_STATUS(ct_report(tracker, formats[n], text, sizeof text, NULL), CT_OK));
    QUIETLY(CHECK_STATUS(ct_message(tracker, text, sizeof text, NULL), CT_OK));
    QUIETLY(ct_destroy(tracker));
    tracker = NULL;
    /* The machine's own devices, a report before anything was measured, and release. */
    QUIETLY(CHECK_STATUS(ct_create(NULL, &tracker), CT_OK));
    for (n = 0; n < 4; n++) QUIETLY(CHECK_STATUS(ct_report(tracker, formats[n], text, sizeof text, NULL), CT_OK));
    QUIETLY(ct_release(tracker));
}

int main(void) {
    static const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    size_t n;
    int traps = feenableexcept(TRAPS) != -1;
    if (!traps) puts("skipped: traps, which this processor does not have");
    for (n = 0; n < sizeof roundings / sizeof *roundings; n++) {
        CHECK_INT(fesetround(roundings[n]), 0);
#ifdef __SSE__
        _mm_setcsr(_mm_getcsr() | FLUSH);
#endif
        /* valgrind always uses the default environment. Only the calls themselves are tested. */
        if (getenv("CT_VALGRIND") == NULL && traps) CHECK_INT(fegetexcept() & TRAPS, TRAPS);
        everything();
    }
    /* Flags that the application has raised stay raised. */
    (void)fedisableexcept(FE_ALL_EXCEPT);
    feraiseexcept(FE_DIVBYZERO);
    before = floats_now();
    ct_destroy(create("sim_cpu=x:10"));
    unchanged("create and destroy", __LINE__);
    return 0;
}
