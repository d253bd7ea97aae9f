// Trains a small neural network on handwritten digits, and tracks its time and energy:
//   train examples/digits.csv ["epochs=20 name=digits location=DK"]
// Plain C++11 on one core: a 64-576-576-10 perceptron, ReLU, softmax cross-entropy, SGD with momentum.
// The lines with a tracker or an epoch do the tracking; the others are an ordinary training.

#include <carbontracker.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <vector>

const int EPOCHS = 20, BATCH = 32, PIXELS = 64, HIDDEN = 576, CLASSES = 10;
const float RATE = 0.05f, MOMENTUM = 0.9f;
struct Image { float pixels[PIXELS]; int digit; };

// A line has 64 pixels of one character each (0-9, a-g for 0 to 16), a comma and the digit.
static bool read_images(const char *path, std::vector<Image> &images) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line[0] == '#') continue;
        if (line.size() < PIXELS + 2 || line[PIXELS + 1] < '0' || line[PIXELS + 1] > '9') return false;
        Image image;
        for (int i = 0; i < PIXELS; i++) image.pixels[i] = (line[i] <= '9' ? line[i] - '0' : line[i] - 'a' + 10) / 16.0f;
        image.digit = line[PIXELS + 1] - '0';
        images.push_back(image);
    }
    return !images.empty();
}

// Gives the same order with every compiler, unlike std::shuffle.
static void shuffle(std::vector<Image> &images, std::mt19937 &random) {
    for (size_t i = images.size() - 1; i > 0; i--) std::swap(images[i], images[random() % (i + 1)]);
}

struct Layer {
    int in, out;
    std::vector<float> weights, gradient, velocity;  // in + 1 rows of out; the last row is the bias
    std::vector<float> output, delta;                // BATCH rows of out; delta is d loss / d output

    Layer(int inputs, int outputs, std::mt19937 &random)
        : in(inputs), out(outputs), weights((in + 1) * out), gradient(weights), velocity(weights),
          output(BATCH * out), delta(output) {
        const float limit = std::sqrt(6.0f / in);  // He's initialisation; biases stay 0
        for (int i = 0; i < in * out; i++) weights[i] = limit * (2 * float(random()) / 4294967296.0f - 1);
    }

    void forward(const float *x, int count, bool relu) {
        for (int n = 0; n < count; n++, x += in) {
            float *y = &output[n * out];
            std::copy(weights.end() - out, weights.end(), y);
            for (int i = 0; i < in; i++)
                for (int o = 0; x[i] != 0 && o < out; o++) y[o] += x[i] * weights[i * out + o];
            for (int o = 0; relu && o < out; o++) y[o] = std::max(y[o], 0.0f);
        }
    }

    // Computes the gradient from delta. If dx is not null, it becomes the delta of the ReLU layer with the output x.
    void backward(const float *x, float *dx, int count) {
        std::fill(gradient.begin(), gradient.end(), 0.0f);
        for (int n = 0; n < count; n++, x += in) {
            const float *d = &delta[n * out];
            for (int o = 0; o < out; o++) gradient[in * out + o] += d[o];
            for (int i = 0; i < in; i++) {
                float sum = 0;
                for (int o = 0; x[i] != 0 && o < out; o++) gradient[i * out + o] += x[i] * d[o];
                for (int o = 0; dx && x[i] != 0 && o < out; o++) sum += weights[i * out + o] * d[o];
                if (dx) dx[n * in + i] = sum;
            }
        }
    }

    void step() {
        for (size_t i = 0; i < weights.size(); i++)
            weights[i] += velocity[i] = MOMENTUM * velocity[i] - RATE * gradient[i];
    }
};

struct Network {
    std::vector<float> input;
    Layer first, second, last;

    explicit Network(std::mt19937 &random)
        : input(BATCH * PIXELS), first(PIXELS, HIDDEN, random), second(HIDDEN, HIDDEN, random),
          last(HIDDEN, CLASSES, random) {}

    const float *forward(const Image *images, int count) {
        for (int n = 0; n < count; n++) std::copy(images[n].pixels, images[n].pixels + PIXELS, &input[n * PIXELS]);
        first.forward(input.data(), count, true);
        second.forward(first.output.data(), count, true);
        last.forward(second.output.data(), count, false);
        return last.output.data();
    }

    // Makes one step on a batch; returns the sum of its losses.
    double train(const Image *images, int count) {
        const float *y = forward(images, count);
        float *delta = last.delta.data();
        double loss = 0;
        for (int n = 0; n < count; n++, y += CLASSES, delta += CLASSES) {
            const float top = *std::max_element(y, y + CLASSES);
            float sum = 0;
            for (int c = 0; c < CLASSES; c++) sum += delta[c] = std::exp(y[c] - top);
            loss += std::log(sum) - (y[images[n].digit] - top);
            for (int c = 0; c < CLASSES; c++) delta[c] = (delta[c] / sum - (c == images[n].digit)) / count;
        }
        last.backward(second.output.data(), second.delta.data(), count);
        second.backward(first.output.data(), first.delta.data(), count);
        first.backward(input.data(), nullptr, count);
        for (Layer *layer : {&first, &second, &last}) layer->step();
        return loss;
    }

    double accuracy(const std::vector<Image> &images) {
        int right = 0;
        for (size_t at = 0; at < images.size(); at += BATCH) {
            const int count = int(std::min<size_t>(BATCH, images.size() - at));
            const float *y = forward(&images[at], count);
            for (int n = 0; n < count; n++, y += CLASSES)
                right += std::max_element(y, y + CLASSES) - y == images[at + n].digit;
        }
        return double(right) / images.size();
    }
};

// Tracking never stops the training: this prints the reason and returns a disabled tracker.
static carbontracker::tracker make_tracker(const char *options) {
    ct_status status;
    auto tracker = carbontracker::tracker::create(options, status);
    if (status < 0) std::fprintf(stderr, "carbontracker: %s\n", ct_last_error());
    return tracker;
}

static void print_messages(carbontracker::tracker &tracker) {
    for (const std::string &message : tracker.messages()) std::printf("carbontracker: %s\n", message.c_str());
}

// "12.3 s (11.8 to 12.9)", or "unknown": energy is unknown if no device is measured.
static std::string estimate(const carbontracker::tracker &tracker, const std::string &pointer, double scale,
                            const char *unit) {
    double value, low, high;
    if (!tracker.value(pointer + "/value", value)) return "unknown";
    if (!tracker.value(pointer + "/low", low) || !tracker.value(pointer + "/high", high)) return "unknown";
    char text[128];
    std::snprintf(text, sizeof text, "%.1f %s (%.1f to %.1f)", scale * value, unit, scale * low, scale * high);
    return text;
}

static void print_forecast(const carbontracker::tracker &tracker) {
    if (!tracker) return;
    const std::string time = estimate(tracker, "/forecast/duration_s", 1, "s");
    const std::string energy = estimate(tracker, "/forecast/energy_j", 1, "J");
    const std::string co2eq = estimate(tracker, "/forecast/co2eq_g", 1000, "mg");
    std::printf("  whole run: time %-22s energy %-25s CO2e %s\n", time.c_str(), energy.c_str(), co2eq.c_str());
}

int main(int argc, char **argv) {
    std::vector<Image> images;
    if (argc < 2 || !read_images(argv[1], images)) {
        std::fprintf(stderr, "usage: %s DIGITS [OPTIONS], where DIGITS is examples/digits.csv\n", argv[0]);
        return 1;
    }
    std::mt19937 random(1);
    shuffle(images, random);
    const auto fifth = images.begin() + images.size() / 5;
    std::vector<Image> test(images.begin(), fifth), training(fifth, images.end());
    const int total = int(training.size());
    Network network(random);

    auto tracker = make_tracker(argc > 2 ? argv[2] : "epochs=20 name=digits");
    print_messages(tracker);
    for (auto &&epoch : tracker.epochs(EPOCHS)) {
        const int number = epoch.index() + 1;
        shuffle(training, random);
        double loss = 0;
        for (int at = 0; at < total; at += BATCH) {
            const int count = std::min(BATCH, total - at);
            loss += network.train(&training[at], count);
            epoch.progress(at + count, total);
            const bool is_halfway = 2 * at < total && 2 * (at + count) >= total;
            if (number == 1 && is_halfway) print_forecast(tracker);  // before any epoch has ended
        }
        epoch.end();  // so the validation counts as between epochs
        std::printf("epoch %2d  loss %.4f  test accuracy %.1f %%\n", number, loss / total, 100 * network.accuracy(test));
        print_messages(tracker);
        if (number <= 3 || number == 5 || number == 10) print_forecast(tracker);
    }
    const std::string report = tracker.report();
    if (!report.empty()) std::printf("\n%s", report.c_str());
}
