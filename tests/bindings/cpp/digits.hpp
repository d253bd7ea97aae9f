// Shared by the trainings with real libraries: the digits, and the checks of every report.
#ifndef DIGITS_HPP
#define DIGITS_HPP

#include "../c/check.h"

#include <carbontracker.hpp>

#include <fstream>
#include <string>
#include <vector>

struct Digits {
    std::vector<std::vector<float>> images;  // of 64 pixels, 0 to 1
    std::vector<unsigned long> labels;
};

inline Digits read_digits(const char *path) {
    Digits digits;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line[0] == '#') continue;
        std::vector<float> pixels;
        for (int i = 0; i < 64; i++) pixels.push_back(float(line[i] <= '9' ? line[i] - '0' : line[i] - 'a' + 10) / 16.0f);
        digits.images.push_back(pixels);
        digits.labels.push_back(static_cast<unsigned long>(line[65] - '0'));
    }
    CHECK(digits.images.size() > 1000);
    return digits;
}

// Checks a run with sim_cpu=x:100: the number of epochs, 100 W in each, and no energy lost between them.
inline void check_report(const carbontracker::tracker &tracker, int epochs) {
    CHECK_INT(tracker.value("/run/epochs_done"), epochs);
    double sum_s = tracker.value("/usage/between/duration_s");
    for (int i = 0; i < epochs; i++) {
        const std::string at = "/epochs/" + std::to_string(i);
        const double duration_s = tracker.value(at + "/duration_s"), energy_j = tracker.value(at + "/energy_j");
        CHECK(duration_s > 0);
        CHECK(energy_j > 99.9 * duration_s && energy_j < 100.1 * duration_s);
        sum_s += duration_s;
    }
    const double duration_s = tracker.value("/usage/duration_s"), energy_j = tracker.value("/usage/energy_j");
    CHECK(energy_j > 99.9 * duration_s && energy_j < 100.1 * duration_s);
    CHECK(sum_s > 0.999 * duration_s && sum_s < 1.001 * duration_s);
    CHECK(tracker.report("json").find("\"in_epoch\"") == std::string::npos);
}

#endif
