#include <carbontracker.hpp>

carbontracker::epoch begun_elsewhere(carbontracker::tracker &t) { return t.epoch(); }

int throws_elsewhere(carbontracker::tracker &t) {
    for (auto &&e : t.epochs(2)) carbontracker::tracker(carbontracker::options().set("pue", e.index()));
    return 0;
}
