// Does the same as use.c, through carbontracker.hpp.
#include <carbontracker.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

int main() {
    carbontracker::tracker tracker(carbontracker::options().set("sim_cpu", "x:100").set("components", "cpu"));
    {
        auto epoch = tracker.epoch();
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    std::printf("%s %.1f W\n", ct_version(), tracker.value("/usage/energy_j") / tracker.value("/usage/duration_s"));
}
