// Built with -fno-exceptions -fno-rtti: nothing throws, failures are visible, and the program continues.
#include "../c/check.h"

#include <carbontracker.hpp>

#include <string>

using carbontracker::options;
using carbontracker::tracker;

int main() {
    ct_status status;
    CHECK(!tracker::create(options().set("epochs", -1), status));
    CHECK_STATUS(status, CT_EINVAL);
    const tracker failed("pue=0");
    CHECK(!failed);
    CHECK_HAS(ct_last_error(), "pue='0'");

    tracker t = tracker::create(options().set("epochs", 3).set("sim_cpu", "x:100"), status);
    CHECK_STATUS(status, CT_OK);
    for (auto &&e : t.epochs(3)) CHECK_STATUS(e.progress(1, 1), CT_OK);
    {
        carbontracker::epoch e = t.epoch();
        CHECK_STATUS(e.cancel(), CT_OK);
    }
    CHECK_INT(t.phase("solve", [] { return 3; }), 3);
    CHECK(t.phase("solve") && !t.phase(""));
    double joules = 0;
    const double unknown = t.value("/no/such");
    CHECK(t.value("/usage/energy_j", joules) && joules > 0 && joules == t.value("/usage/energy_j"));
    CHECK(unknown != unknown);
    CHECK(t.value("/run/epochs_done") == 3 && t.value_or("/no/such", 5) == 5);
    CHECK_HAS(t.report().c_str(), "3 of 3 epochs");
    CHECK(t.report("yaml").empty() && !t.messages().empty());
    t.close();
    CHECK(!t);
}
