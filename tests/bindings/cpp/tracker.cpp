// A tracker: creation and failure, its values and reports, its ownership.
#include "../c/check.h"

#include <cmath>
#include <carbontracker.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using carbontracker::epoch;
using carbontracker::error;
using carbontracker::options;
using carbontracker::tracker;

static_assert(!std::is_copy_constructible<tracker>::value && !std::is_copy_assignable<tracker>::value, "moves only");
static_assert(!std::is_copy_constructible<epoch>::value && !std::is_copy_assignable<epoch>::value, "moves only");
static_assert(std::is_nothrow_move_constructible<tracker>::value && std::is_nothrow_move_assignable<tracker>::value, "");
static_assert(std::is_nothrow_move_constructible<epoch>::value && std::is_nothrow_move_assignable<epoch>::value, "");
static_assert(std::is_nothrow_destructible<tracker>::value && std::is_nothrow_destructible<epoch>::value, "");
static_assert(!std::is_convertible<const char *, tracker>::value, "a text does not become a tracker implicitly");
static_assert(!std::is_convertible<tracker, int>::value && !std::is_convertible<epoch, bool>::value, "");
static_assert(std::is_base_of<std::runtime_error, error>::value && std::is_copy_constructible<error>::value, "");
static_assert(std::is_same<carbontracker::v0::tracker, tracker>::value, "the version is in the namespace");
static_assert(noexcept(tracker::disabled()) && noexcept(tracker::adopt(nullptr)), "");
static_assert(noexcept(std::declval<tracker &>().epoch()) && noexcept(std::declval<tracker &>().epochs(3)), "");
static_assert(noexcept(*std::declval<tracker &>().epochs(3).begin()) && noexcept(std::declval<epoch &>().end()), "");
static_assert(noexcept(std::declval<tracker &>().value_or("/pue", 0.0)) && noexcept(carbontracker::version()), "");

template <class Call> static void throws(Call call, ct_status status, const char *part) {
    try {
        call();
    } catch (const error &failure) {
        CHECK_STATUS(failure.status(), status);
        CHECK_HAS(failure.what(), part);
        return;
    }
    CHECK(!"thrown");
}

static void making() {
    throws([] { tracker t("epochs=many"); }, CT_EINVAL, "epochs='many'");
    throws([] { tracker t(options().set("epoch", 3)); }, CT_EINVAL, "did you mean epochs?");
    throws([] { tracker t(options("name='open")); }, CT_EINVAL, "not closed");
    throws([] { tracker t(options().set("name", std::string("a\0b", 3))); }, CT_EINVAL, "not closed");  // not just "a"
    try {
        tracker t("pue=0");
        CHECK(false);
    } catch (const std::runtime_error &failure) {
        CHECK_HAS(failure.what(), "pue='0'");
    }
    ct_status status = CT_EPANIC;
    tracker none = tracker::create("pue=0", status);
    CHECK_STATUS(status, CT_EINVAL);
    CHECK(!none && none.native() == nullptr);
    none = tracker::create(options().set("sim_cpu", "x:100"), status);
    CHECK_STATUS(status, CT_OK);
    CHECK(none && none.native() != nullptr);
    const tracker by_default, by_null(nullptr), by_string(std::string("epochs=3"));
    CHECK(by_default && by_null && by_string);
    CHECK_INT(by_string.value("/run/epochs_planned"), 3);
    const tracker adopted = tracker::adopt(create("epochs=4"));
    CHECK_INT(adopted.value("/run/epochs_planned"), 4);
    CHECK(!tracker::adopt(nullptr));
    CHECK_TEXT(carbontracker::version(), ct_version());
}

static void disabled() {
    CHECK(setenv("CARBONTRACKER_DISABLE", "1", 1) == 0);
    tracker t("epochs=3 no_such_option=1");
    ct_status status = CT_OK;
    CHECK(!t && !tracker::create("", status));
    CHECK_STATUS(status, CT_DISABLED);
    CHECK(unsetenv("CARBONTRACKER_DISABLE") == 0);
    double number = 7;
    std::string text = "old";
    CHECK(!t.value("/pue", number) && number == 7 && t.value_or("/pue", 8) == 8);
    CHECK(std::isnan(t.value("/pue")));
    CHECK(t.report().empty() && t.report("no such format").empty());
    CHECK(!t.message(text) && text.empty() && t.messages().empty());
    t.close();
    CHECK(!t);
}

static void values_and_reports() {
    const std::string name(10000, 'n');
    tracker t(options().set("name", name).set("sim_cpu", "x:100").set("location", "DK"));
    for (auto &&e : t.epochs(100)) CHECK(e);
    const std::string pointer = "/run/epochs_done";
    double number = 7;
    CHECK_INT(t.value(pointer), 100);
    CHECK(t.value(pointer, number) && number == 100 && t.value_or(pointer, 8) == 100);
    CHECK(!t.value("/no/such", number) && number == 100 && t.value_or("/forecast/energy_j/value", 8) == 8);
    throws([&] { t.value("/no/such"); }, CT_EINVAL, "/no/such");
    throws([&] { t.value("usage/energy_j"); }, CT_EINVAL, "did you mean /usage/energy_j?");
    throws([&] { t.text("/run/nane"); }, CT_EINVAL, "did you mean /run/name?");
    throws([&] { t.text("/run/job"); }, CT_ENOENT, "/run/job");
    CHECK_INT(t.value("/epochs/length"), 100);
    CHECK(t.text("/run/name") == name && t.text("/intensity/zone") == "DK" && t.text_or("/run/job", "none") == "none");
    CHECK(t.text("/components/0").find("{\"kind\":\"cpu\"") == 0 && tracker::disabled().text("/run/name").empty());
    throws([&] { t.value("/forecast/energy_j/value"); }, CT_ENOENT, "");
    throws([&] { t.report("yaml"); }, CT_EINVAL, "yaml");
    const std::string report = t.report();
    CHECK(report.size() > 10000 && report.find(name + ": 100 ") == 0 && report.find('\0') == std::string::npos);
    CHECK(t.report(std::string("json")).back() == '}' || t.report("json").back() == '\n');
    CHECK(t.report("csv").find("\n99,") != std::string::npos);
    CHECK_HAS(t.report("prometheus").c_str(), "# TYPE ");
    const tracker &constant = t;
    CHECK(constant.report("csv") == t.report("csv"));
}

static void messages() {
    tracker t("sim_cpu=x:100 log_dir=/proc/nowhere intensity=energycharts");
    std::string first;
    CHECK(t.message(first) && !first.empty());
    const std::vector<std::string> others = t.messages();
    CHECK(!others.empty() && others[0] != first);
    CHECK(t.messages().empty() && !t.message(first) && first.empty());
}

// The status depends on the sampler: several epochs may pass, and many on a busy machine.
static void over_budget() {
    tracker t("sim_cpu=x:100 budget_h=1e-9");
    ct_status status = CT_OK;
    for (auto &&e : t.epochs(20000)) {
        sleep_ms(2);
        status = e.end();
        if (status != CT_OK) break;
    }
    CHECK_STATUS(status, CT_OVER_BUDGET);
    CHECK(t.value("/run/epochs_done") < 20000);
    CHECK_STATUS(t.epoch_begin(), CT_OK);
    CHECK_STATUS(t.epoch_begin(), CT_ESTATE);
    CHECK_STATUS(t.progress(1, 2), CT_OK);
    CHECK_STATUS(t.run_progress(1.0, 2.0), CT_OVER_BUDGET);
    CHECK_STATUS(t.run_progress(-1.0, 2.0), CT_EINVAL);
    CHECK_STATUS(t.epoch_end(), CT_OVER_BUDGET);
    CHECK_STATUS(t.epoch_end(), CT_ESTATE);
}

static void moves_and_closes() {
    tracker a("epochs=1 sim_cpu=x:100"), b("epochs=2 sim_cpu=x:100");
    ct_tracker *const native = b.native();
    a = std::move(b);
    CHECK(a.native() == native && !b);  // NOLINT: the state after a move is part of the contract
    CHECK_STATUS(b.epoch_begin(), CT_DISABLED);
    b = tracker("epochs=3 sim_cpu=x:100");
    std::swap(a, b);
    CHECK(b.native() == native && a.value("/run/epochs_planned") == 3);
    std::vector<tracker> ranks;
    for (int rank = 0; rank < 3; rank++) ranks.push_back(rank == 0 ? tracker("sim_cpu=x:100") : tracker::disabled());
    for (tracker &rank : ranks) CHECK_INT(rank.epoch().end(), &rank == &ranks[0] ? CT_OK : CT_DISABLED);
    const std::unique_ptr<tracker> owned(new tracker(std::move(ranks[0])));
    owned->close();
    owned->close();
    CHECK(!*owned && owned->report().empty());
}

int main() {
    making();
    disabled();
    values_and_reports();
    messages();
    over_budget();
    moves_and_closes();
}
