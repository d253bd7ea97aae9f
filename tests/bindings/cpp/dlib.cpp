// A training with dlib's dnn_trainer. Its steps run on another thread; get_net() waits for them.
#include "digits.hpp"

#include <dlib/dnn.h>

#include <algorithm>
#include <stdexcept>

using Pixels = dlib::matrix<float>;
using Network = dlib::loss_multiclass_log<dlib::fc<10, dlib::relu<dlib::fc<32, dlib::input<Pixels>>>>>;

int main(int, char **argv) {
    const Digits digits = read_digits(argv[1]);
    const std::size_t fifth = digits.images.size() / 5;
    std::vector<Pixels> images;
    for (const auto &image : digits.images) images.push_back(dlib::mat(image));
    const std::vector<Pixels> tests(images.begin(), images.begin() + long(fifth));
    const std::vector<Pixels> training(images.begin() + long(fifth), images.end());
    const std::vector<unsigned long> labels(digits.labels.begin() + long(fifth), digits.labels.end());
    Network network;
    dlib::dnn_trainer<Network> trainer(network, dlib::sgd(0.0005f, 0.9f));
    trainer.set_learning_rate(0.05);

    const auto train = [&](carbontracker::epoch &epoch) {
        for (std::size_t done = 0; done < training.size(); epoch.progress(done, training.size())) {
            const std::size_t first = done;
            done = std::min(first + 64, training.size());
            trainer.train_one_step(training.begin() + long(first), training.begin() + long(done), labels.begin() + long(first));
        }
        trainer.get_net();
    };
    const auto accuracy = [&] {
        const std::vector<unsigned long> answers = trainer.get_net()(tests);
        std::size_t right = 0;
        for (std::size_t i = 0; i < fifth; i++) right += answers[i] == digits.labels[i];
        return double(right) / double(fifth);
    };
    carbontracker::tracker tracker(carbontracker::options().set("epochs", 5).set("sim_cpu", "x:100").set("name", "dlib"));
    bool failed = false;
    double first = 0, last = 0;
    for (auto &&epoch : tracker.epochs(5)) {
        train(epoch);
        epoch.end();
        last = accuracy();
        if (epoch.index() == 0) first = last;
    }
    try {
        auto epoch = tracker.epoch();
        train(epoch);
        throw std::runtime_error("the loss is not a number");
    } catch (const std::runtime_error &) {
        failed = true;
    }
    CHECK(failed && last > first && last > 0.85);
    check_report(tracker, 5);
    printf("dlib: accuracy %.3f, then %.3f\n%s", first, last, tracker.report().c_str());
}
