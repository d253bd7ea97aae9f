// Trains a softmax regression on handwritten digits and tracks it. This folder has the same program in every language.
//   c++ -std=c++11 -O2 digits.cpp $(pkg-config --cflags --libs carbontracker) -o digits && ./digits digits.csv

#include <carbontracker.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

const int EPOCHS = 10, BATCH = 32, PIXELS = 64, CLASSES = 10;
const double RATE = 0.5;

struct Image {
    std::array<double, PIXELS + 1> pixels;  // the last value is 1, for the bias
    int digit;
};

using Probabilities = std::array<double, CLASSES>;
using Weights = std::array<std::array<double, PIXELS + 1>, CLASSES>;

// A line has 64 pixels of one character each (0-9, a-g for 0 to 16), a comma and the digit; # begins a comment.
static std::vector<Image> read_images(const char *path) {
    std::vector<Image> images;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line[0] == '#') continue;
        Image image;
        for (int i = 0; i < PIXELS; i++) image.pixels[i] = (line[i] <= '9' ? line[i] - '0' : line[i] - 'a' + 10) / 16.0;
        image.pixels[PIXELS] = 1;
        image.digit = line[PIXELS + 1] - '0';
        images.push_back(image);
    }
    return images;
}

struct Model {
    Weights weights{}, gradient{};

    // Computes the probability of each class; returns the most probable class.
    int predict(const Image &image, Probabilities &probability) const {
        double sum = 0;
        int best = 0;
        for (int c = 0; c < CLASSES; c++) {
            double score = 0;
            for (int i = 0; i <= PIXELS; i++) score += weights[c][i] * image.pixels[i];
            probability[c] = std::exp(score);
            sum += probability[c];
            if (probability[c] > probability[best]) best = c;
        }
        for (double &p : probability) p /= sum;
        return best;
    }

    // Makes one step of gradient descent on the images first to last - 1; returns the sum of their losses.
    double step(const Image *first, const Image *last) {
        double loss = 0;
        Probabilities probability;
        gradient = {};
        for (const Image *image = first; image < last; image++) {
            predict(*image, probability);
            loss -= std::log(probability[image->digit]);
            for (int c = 0; c < CLASSES; c++)
                for (int i = 0; i <= PIXELS; i++)
                    gradient[c][i] += (probability[c] - (c == image->digit)) * image->pixels[i];
        }
        for (int c = 0; c < CLASSES; c++)
            for (int i = 0; i <= PIXELS; i++) weights[c][i] -= RATE * gradient[c][i] / double(last - first);
        return loss;
    }

    double accuracy(const Image *first, const Image *last) const {
        Probabilities probability;
        const auto right = std::count_if(first, last, [&](const Image &image) {
            return predict(image, probability) == image.digit;
        });
        return 100.0 * double(right) / double(last - first);
    }
};

static void print_value(const carbontracker::tracker &tracker, const char *label, const char *pointer,
                        const char *unit) {
    double value;
    if (tracker.value(pointer, value)) std::printf("%s %.3f %s", label, value, unit);
    else std::printf("%s unknown", label);
}

// Tracking never stops the training: this prints the reason and returns a disabled tracker.
static carbontracker::tracker make_tracker(const char *options) {
    ct_status status;
    auto tracker = carbontracker::tracker::create(options, status);
    if (status < 0) std::fprintf(stderr, "not tracked: %s\n", ct_last_error());
    return tracker;
}

int main(int argc, char **argv) {
    const std::vector<Image> images = argc > 1 ? read_images(argv[1]) : std::vector<Image>();
    if (images.empty()) {
        std::fprintf(stderr, "usage: %s digits.csv [OPTIONS]\n", argv[0]);
        return 1;
    }
    // The first fifth is the test set.
    const Image *tests = images.data(), *training = tests + images.size() / 5, *end = tests + images.size();
    const auto total = end - training;
    Model model;

    auto tracker = make_tracker(argc > 2 ? argv[2] : "epochs=10 name=digits");
    for (auto &&epoch : tracker.epochs(EPOCHS)) {
        double loss = 0;
        for (const Image *first = training; first < end; first += BATCH) {
            const Image *last = first + std::min<std::ptrdiff_t>(BATCH, end - first);
            loss += model.step(first, last);
            epoch.progress(last - training, total);
        }
        epoch.end();  // so the test below counts as between epochs
        std::printf("epoch %2d  loss %.4f  accuracy %.1f %%\n", epoch.index() + 1, loss / double(total),
                    model.accuracy(tests, training));
        if (epoch.index() + 1 == 3) {
            print_value(tracker, "forecast: energy", "/forecast/energy_j/value", "J");
            print_value(tracker, ", time", "/forecast/duration_s/value", "s");
            std::printf("\n");
        }
    }
    for (const std::string &message : tracker.messages()) std::printf("carbontracker: %s\n", message.c_str());
    std::printf("%s", tracker.report().c_str());
}
