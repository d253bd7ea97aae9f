// Like pairs.c, with the C++ header: one scope for each epoch.
#include <carbontracker.hpp>
#include <chrono>
#include <cstdio>

static double pairs(carbontracker::tracker &tracker, long count) {
    const auto start = std::chrono::steady_clock::now();
    for (auto &&epoch : tracker.epochs(count)) (void)epoch;
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / (2.0 * double(count));
}

int main() {
    carbontracker::tracker tracker(carbontracker::options().set("sim_cpu", "bench:100"));
    pairs(tracker, 100000);
    std::printf("%.1f\n", pairs(tracker, 1000000));
}
