// A phase ends with its scope, in whatever way the scope is left. Scopes nest, in epochs and outside them.
#include "../c/check.h"

#include <carbontracker.hpp>

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

using carbontracker::phase;
using carbontracker::tracker;

static_assert(!std::is_copy_constructible<phase>::value && !std::is_move_assignable<phase>::value, "moves out only");
static_assert(std::is_nothrow_move_constructible<phase>::value && std::is_nothrow_destructible<phase>::value, "");
static_assert(!std::is_convertible<phase, bool>::value, "");
static_assert(noexcept(std::declval<tracker &>().phase("a")) && noexcept(std::declval<phase &>().end()), "");

static tracker fresh() { return tracker("epochs=10 sim_cpu=x:100"); }
static int entries(const tracker &t, const char *path) {
    return static_cast<int>(t.value_or("/phases/rows/" + std::string(path) + "/entries", 0));
}
static bool is_none_open(tracker &t) { return t.phase_end() == CT_ESTATE; }

static void ends_with_its_scope() {
    tracker t = fresh();
    {
        const phase step = t.phase("step");
        const phase solve = t.phase(std::string("solve"));
        CHECK(step && solve);
        sleep_ms(30);
    }
    CHECK(is_none_open(t));
    CHECK_HAS(ct_last_error(), "no phase is open");
    CHECK_INT(entries(t, "step"), 1);
    CHECK_INT(entries(t, "step~1solve"), 1);
    const double seconds = t.value("/phases/rows/step/duration_s"), joules = t.value("/phases/rows/step/energy_j");
    CHECK(seconds >= 0.03 && t.value("/phases/rows/step/own/duration_s") < 0.5 * seconds);
    CHECK_BETWEEN(joules, 90 * seconds, 110 * seconds);
    CHECK_TEXT(t.text("/phases/rows/0/path").c_str(), "step");
}

static int leaves_early(tracker &t) {
    for (int i = 0; i < 3; i++) {
        const phase p = t.phase("loop");
        if (i == 0) continue;
        if (i == 2) return 7;
    }
    return -1;
}

static void ends_by_continue_return_and_exception() {
    tracker t = fresh();
    CHECK_INT(leaves_early(t), 7);
    CHECK_INT(entries(t, "loop"), 3);
    try {
        const carbontracker::epoch e = t.epoch();
        const phase outer = t.phase("outer"), inner = t.phase("inner");
        throw std::runtime_error("mine");
    } catch (const std::runtime_error &failure) {
        CHECK_TEXT(failure.what(), "mine");
    }
    CHECK(is_none_open(t));
    CHECK_INT(entries(t, "outer~1inner"), 1);
    CHECK_INT(t.value("/run/epochs_done"), 0);
}

static void calls_a_function() {
    tracker t = fresh();
    int number = 1;
    int &same = t.phase("reference", [&]() -> int & { return number; });
    same = 2;
    CHECK_INT(number, 2);
    CHECK_TEXT(t.phase("text", [] { return std::string("value"); }).c_str(), "value");
    t.phase("nothing", [&] { number++; });
    CHECK_INT(number, 3);
    try {
        t.phase("failure", [] { throw 5; });
        CHECK(false);
    } catch (int thrown) {
        CHECK_INT(thrown, 5);
    }
    CHECK_INT(t.phase("outer", [&] { return t.phase("inner", [&] { return leaves_early(t); }); }), 7);
    CHECK(is_none_open(t));
    CHECK_INT(entries(t, "failure") + entries(t, "outer~1inner"), 2);
    tracker none = tracker::disabled();
    CHECK_INT(none.phase("any", [] { return 4; }), 4);
}

static phase begin(tracker &t, const char *name) { return t.phase(name); }

static void moves_and_ends_early() {
    tracker t = fresh();
    {
        phase first = begin(t, "moved");
        phase second(std::move(first));
        CHECK(!first && second);  // NOLINT: the state after a move is part of the contract
        CHECK_STATUS(first.end(), CT_DISABLED);
        CHECK_STATUS(second.end(), CT_OK);
        CHECK_STATUS(second.end(), CT_DISABLED);
        CHECK(is_none_open(t));
    }
    CHECK(is_none_open(t));
    phase kept = begin(t, "kept");
    t.close();
    CHECK(kept && kept.end() == CT_OK);
}

static void refused() {
    tracker t = fresh();
    CHECK(!t.phase("") && !t.phase(std::string(129, 'n')) && !t.phase("\xff"));
    CHECK_STATUS(t.phase_begin(""), CT_EINVAL);
    CHECK_INT(t.phase("", [] { return 3; }), 3);
    CHECK(is_none_open(t));
    for (int i = 0; i < 64; i++) CHECK_STATUS(t.phase_begin("deep"), CT_OK);
    {
        const phase one_more = t.phase("deep");
        CHECK(!one_more);
    }
    for (int i = 0; i < 64; i++) CHECK_STATUS(t.phase_end(), CT_OK);
    CHECK(is_none_open(t));
    tracker none = tracker::disabled();
    CHECK(!none.phase("any"));
    CHECK_STATUS(none.phase_begin("any"), CT_DISABLED);
    CHECK_STATUS(none.phase_end(), CT_DISABLED);
}

int main() {
    ends_with_its_scope();
    ends_by_continue_return_and_exception();
    calls_a_function();
    moves_and_ends_early();
    refused();
}
