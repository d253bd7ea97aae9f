// As player.c, with the C++ header.
#include <carbontracker.hpp>
#include <iomanip>
#include <iostream>

int main(int argc, char **argv) {
    if (argc < 2) return 1;
    carbontracker::tracker tracker(argv[1]);
    carbontracker::epoch epoch;
    for (std::string line; std::getline(std::cin, line) && line != "quit";) {
        if (line == "begin") epoch = tracker.epoch();
        if (line == "end") epoch.end();
        if (line == "cancel") epoch.cancel();
        if (line == "progress") epoch.progress(7, 9);
        if (line == "value") std::cout << std::setprecision(17) << tracker.value("/usage/energy_j") << " ";
        if (line == "text") std::cout << tracker.text("/components");
        if (line == "rest")
            for (auto &&e : tracker.remaining(10)) std::cout << e.index() + 1 << " ";
        std::string report = line == "report" ? tracker.report("json") : "";
        std::cout << report.substr(0, report.find('\n')) << std::endl;
    }
}
