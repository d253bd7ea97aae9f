// An epoch ends with its scope, in whatever way the scope is left. An exception that leaves the scope cancels it.
#include "../c/check.h"

#include <carbontracker.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using carbontracker::epoch;
using carbontracker::tracker;

static tracker fresh() { return tracker("epochs=10 sim_cpu=x:100"); }
static int done(const tracker &t) { return static_cast<int>(t.value("/run/epochs_done")); }
static bool in_epoch(const tracker &t) { return t.report("json").find("\"in_epoch\"") != std::string::npos; }

struct Stop {
    int number;
};

static void ends_with_its_scope() {
    tracker t = fresh();
    {
        const epoch e = t.epoch();
        CHECK(e && in_epoch(t));
    }
    CHECK(!in_epoch(t));
    CHECK_INT(done(t), 1);
}

static int returns_from(tracker &t) {
    for (;;) {
        const epoch e = t.epoch();
        return 7;
    }
}

static void ends_by_break_continue_and_return() {
    tracker t = fresh();
    for (int i = 0; i < 3; i++) {
        const epoch e = t.epoch();
        if (i == 0) continue;
        if (i == 1) break;
    }
    CHECK_INT(done(t), 2);
    CHECK_INT(returns_from(t), 7);
    CHECK_INT(done(t), 3);
    CHECK(!in_epoch(t));
}

static void an_exception_cancels_and_arrives_unchanged() {
    tracker t = fresh();
    const Stop *thrown = nullptr;
    try {
        const epoch e = t.epoch();
        throw Stop{42};
    } catch (const Stop &stop) {
        thrown = &stop;
        CHECK_INT(stop.number, 42);
    }
    CHECK(thrown != nullptr && !in_epoch(t));
    CHECK(t.epoch().end() == CT_OK);
    CHECK_INT(done(t), 1);
    try {
        const epoch e = t.epoch();
        try {
            throw std::runtime_error("caught inside");
        } catch (const std::runtime_error &) {
        }
    } catch (...) {
        CHECK(false);
    }
    CHECK_INT(done(t), 2);
    try {
        try {
            throw Stop{1};
        } catch (const Stop &) {
            const epoch e = t.epoch();
            throw;
        }
    } catch (const Stop &stop) {
        CHECK_INT(stop.number, 1);
    }
    CHECK_INT(done(t), 2);
    CHECK(!in_epoch(t));
}

// A destructor that runs during an exception has its own epoch; `how` selects how it leaves it.
struct Cleaner {
    tracker &t;
    bool fails;
    ~Cleaner() {
        try {
            epoch e;
            e = t.epoch();  // an exception counts only if it was thrown after the begin
            if (fails) throw Stop{2};
        } catch (const Stop &) {
        }
    }
};

static void scopes_in_a_destructor_that_an_exception_runs() {
    for (int fails = 0; fails < 2; fails++) {
        tracker inner = fresh(), outer = fresh();
        try {
            const epoch e = outer.epoch();
            const Cleaner cleaner = {inner, fails == 1};
            throw Stop{3};
        } catch (const Stop &stop) {
            CHECK_INT(stop.number, 3);
        }
        CHECK_INT(inner.epoch().end(), CT_OK);  // so that there is a report if all others were cancelled
        CHECK_INT(outer.epoch().end(), CT_OK);
        CHECK_INT(done(inner), fails == 1 ? 1 : 2);
        CHECK_INT(done(outer), 1);
    }
}

struct Opener {
    tracker &t;
    epoch &out;
    ~Opener() { out = t.epoch(); }
};

static void begun_by_an_exception_and_moved_out_of_it() {
    tracker t = fresh();
    epoch e;
    try {
        const Opener opener = {t, e};
        throw Stop{4};
    } catch (const Stop &) {
    }
    CHECK(e && in_epoch(t));
    CHECK_INT(e.end(), CT_OK);
    CHECK_INT(done(t), 1);
}

static bool is_of_refusal(const std::string &message) { return message.find("refused") != std::string::npos; }

static void nested() {
    tracker t = fresh();
    {
        const epoch outer = t.epoch();
        {
            epoch inner = t.epoch();
            CHECK(!inner);
            CHECK_HAS(ct_last_error(), "open already");
            CHECK_STATUS(inner.end(), CT_DISABLED);
            CHECK_STATUS(inner.cancel(), CT_DISABLED);
        }
        CHECK(in_epoch(t));
        tracker other = fresh();
        try {
            const epoch inner = other.epoch();
            throw Stop{5};
        } catch (const Stop &) {
        }
        CHECK(!in_epoch(other) && in_epoch(t));
    }
    CHECK_INT(done(t), 1);
    for (auto &&outer : t.epochs(2)) {
        for (auto &&inner : t.epochs(2)) CHECK(outer && !inner);
    }
    CHECK_INT(done(t), 3);
    CHECK_HAS(t.report("json").c_str(), "ct_epoch_begin was refused 5 times");
    const std::vector<std::string> messages = t.messages();
    CHECK_INT(std::count_if(messages.begin(), messages.end(), is_of_refusal), 1);
}

static epoch begin(tracker &t) { return t.epoch(); }

static void moved() {
    tracker t = fresh(), other = fresh();
    {
        epoch a = begin(t);
        epoch b = std::move(a);
        CHECK(!a && b);  // NOLINT: the state after a move is part of the contract
        CHECK_STATUS(a.end(), CT_DISABLED);
        CHECK_STATUS(a.progress(1, 2), CT_DISABLED);
        epoch &same = b;
        b = std::move(same);
        CHECK(b && in_epoch(t));
        b = begin(other);  // ends the epoch that it held
        CHECK(b && in_epoch(other) && !in_epoch(t));
        CHECK_INT(done(t), 1);
        b = epoch();
        CHECK(!b && !in_epoch(other));
        std::vector<epoch> several;
        several.push_back(begin(t));
        several.push_back(begin(other));
        CHECK(several[0] && several[1]);
    }
    CHECK_INT(done(t), 2);
    CHECK_INT(done(other), 2);
    try {
        epoch outer;
        {
            epoch inner = begin(t);
            outer = std::move(inner);
        }
        CHECK(in_epoch(t));
        throw Stop{6};
    } catch (const Stop &) {
    }
    CHECK(!in_epoch(t));
    CHECK_INT(done(t), 2);
    epoch elsewhere = begin(t);
    std::thread([](epoch) {}, std::move(elsewhere)).join();
    CHECK_INT(done(t), 3);
}

static void ends_early() {
    tracker t = fresh();
    {
        epoch e = t.epoch();
        CHECK_STATUS(e.progress(1, 2), CT_OK);
        CHECK_STATUS(e.progress(3, 2), CT_EINVAL);
        CHECK_STATUS(e.end(), CT_OK);
        CHECK(!e);
        CHECK_STATUS(e.end(), CT_DISABLED);
        const epoch next = t.epoch();
        CHECK(next && !e);
    }
    CHECK_INT(done(t), 2);
    epoch dropped = t.epoch();
    CHECK_STATUS(dropped.cancel(), CT_OK);
    CHECK(!dropped && !in_epoch(t));
    CHECK_INT(done(t), 2);
}

static void outlives_its_tracker() {
    epoch e;
    {
        tracker t = fresh();
        e = t.epoch();
    }
    CHECK(e);
    CHECK_STATUS(e.progress(1, 2), CT_OK);
    CHECK_STATUS(e.end(), CT_OK);

    tracker t = fresh();
    {
        const epoch open = t.epoch();
        t.close();
        CHECK(open && !t);
    }
    t = fresh();
    {
        const epoch open = t.epoch();
        t = fresh();  // the open epoch belongs to the old run
        CHECK(open && !in_epoch(t));
        CHECK_STATUS(t.epoch_begin(), CT_OK);
    }
    CHECK(in_epoch(t));
    tracker target = std::move(t);
    CHECK_STATUS(target.epoch_end(), CT_OK);
    {
        const epoch open = target.epoch();
        t = std::move(target);
    }
    CHECK_INT(done(t), 2);
}

static int finds(tracker &t, int wanted) {
    for (auto &&e : t.epochs(10))
        if (e.index() == wanted) return wanted;
    return -1;
}

static void ranges() {
    tracker t = fresh();
    int sum = 0;
    for (auto &&e : t.epochs(4)) {
        CHECK(e && in_epoch(t));
        sum += 1 << e.index();
        if (e.index() == 1) continue;
        CHECK_STATUS(e.progress(1, 1), CT_OK);
    }
    CHECK_INT(sum, 15);
    CHECK_INT(done(t), 4);
    CHECK_INT(finds(t, 2), 2);
    CHECK_INT(done(t), 7);
    auto range = t.epochs(2u);
    for (int twice = 0; twice < 2; twice++)
        for (auto e : range) CHECK_STATUS(e.end(), CT_OK);
    CHECK_INT(done(t), 11);
    for (auto &&e : t.epochs(0)) CHECK(!e);
    for (auto &&e : t.epochs(-3L)) CHECK(!e);
    for (auto &&e : t.epochs(std::size_t(5))) {
        const std::size_t index = e.index();
        if (index == 1) break;
    }
    CHECK_INT(done(t), 13);
    try {
        for (auto &&e : t.epochs(5))
            if (e.index() == 3) throw Stop{7};
    } catch (const Stop &stop) {
        CHECK_INT(stop.number, 7);
    }
    CHECK_INT(done(t), 16);
    for (auto &&e : t.epochs(2)) {
        const epoch kept = std::move(e);
        CHECK(kept && !e);
    }
    CHECK_INT(done(t), 18);
    int count = 0;
    for (auto &&e : fresh().epochs(3)) count += e ? 1 : 0;  // the loop alone keeps the run
    CHECK_INT(count, 3);
    CHECK(!in_epoch(t));
}

static void disabled_takes_everything() {
    tracker t = tracker::disabled();
    int count = 0;
    for (auto &&e : t.epochs(3)) {
        CHECK(!e);
        CHECK_INT(e.index(), count++);
        CHECK_STATUS(e.progress(1, 2), CT_DISABLED);
        if (e.index() == 2) CHECK_STATUS(e.end(), CT_DISABLED);
    }
    CHECK_INT(count, 3);
    try {
        const epoch e = t.epoch();
        throw Stop{8};
    } catch (const Stop &stop) {
        CHECK_INT(stop.number, 8);
    }
    CHECK_STATUS(t.epoch_begin(), CT_DISABLED);
    CHECK_STATUS(t.epoch_end(), CT_DISABLED);
    CHECK_STATUS(t.epoch_cancel(), CT_DISABLED);
    CHECK_STATUS(t.progress(1, 2), CT_DISABLED);
}

static void a_forked_child() {
    tracker t = fresh();
    epoch open = t.epoch();
    const pid_t child = fork();
    if (child == 0) {
        CHECK(!t.epoch());
        CHECK_STATUS(open.end(), CT_EFORK);
        CHECK_STATUS(t.epoch_begin(), CT_EFORK);
        tracker own = fresh();
        CHECK(own.epoch());
        t = std::move(own);
        _exit(0);
    }
    check_child(child);
    CHECK_STATUS(open.end(), CT_OK);
    CHECK_INT(done(t), 1);
}

int main() {
    ends_with_its_scope();
    ends_by_break_continue_and_return();
    an_exception_cancels_and_arrives_unchanged();
    scopes_in_a_destructor_that_an_exception_runs();
    begun_by_an_exception_and_moved_out_of_it();
    nested();
    moved();
    ends_early();
    outlives_its_tracker();
    ranges();
    disabled_takes_everything();
    a_forked_child();
}
