// Two units that include the header, each in another standard, make one program; the other is unit_b.cpp.
#include <carbontracker.hpp>

#include <carbontracker.hpp>

carbontracker::epoch begun_elsewhere(carbontracker::tracker &);
int throws_elsewhere(carbontracker::tracker &);

int main() {
    carbontracker::tracker t(carbontracker::options().set("sim_cpu", "x:100").set("pue", 1.5));
    begun_elsewhere(t).progress(1, 2);
    try {
        throws_elsewhere(t);
    } catch (const carbontracker::error &failure) {
        return failure.status() == CT_EINVAL && t.value("/run/epochs_done") == 1 ? 0 : 2;
    }
    return 1;
}
