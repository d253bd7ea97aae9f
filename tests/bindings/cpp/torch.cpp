// A training with libtorch: its data loader, a failure inside an epoch, early stopping.
#include "digits.hpp"

#include <torch/torch.h>

class Images : public torch::data::datasets::Dataset<Images> {
    torch::Tensor pixels_ = torch::empty({0}), labels_ = torch::empty({0});

public:
    Images(const Digits &digits, std::size_t first, std::size_t last) {
        const auto count = static_cast<std::int64_t>(last - first);
        pixels_ = torch::empty({count, 64});
        labels_ = torch::empty({count}, torch::kLong);
        for (std::int64_t i = 0; i < count; i++) {
            const auto &image = digits.images[first + static_cast<std::size_t>(i)];
            pixels_[i] = torch::tensor(image);
            labels_[i] = static_cast<std::int64_t>(digits.labels[first + static_cast<std::size_t>(i)]);
        }
    }
    torch::data::Example<> get(std::size_t index) override { return {pixels_[std::int64_t(index)], labels_[std::int64_t(index)]}; }
    torch::optional<std::size_t> size() const override { return std::size_t(labels_.size(0)); }
    torch::Tensor pixels() const { return pixels_; }
    torch::Tensor labels() const { return labels_; }
};

int main(int, char **argv) {
    torch::manual_seed(1);
    torch::set_num_threads(1);
    const Digits digits = read_digits(argv[1]);
    const std::size_t fifth = digits.images.size() / 5;
    const Images tests(digits, 0, fifth), training(digits, fifth, digits.images.size());
    torch::nn::Sequential model(torch::nn::Linear(64, 32), torch::nn::ReLU(), torch::nn::Linear(32, 10));
    torch::optim::SGD optimizer(model->parameters(), torch::optim::SGDOptions(0.2).momentum(0.9));
    const std::size_t total = training.size().value();
    auto loader = torch::data::make_data_loader<torch::data::samplers::RandomSampler>(
        Images(training).map(torch::data::transforms::Stack<>()), 64);

    const auto accuracy = [&] {
        const torch::NoGradGuard no_grad;
        return model->forward(tests.pixels()).argmax(1).eq(tests.labels()).to(torch::kDouble).mean().item<double>();
    };
    const auto train = [&](carbontracker::epoch &epoch, bool fails) {
        std::size_t done = 0;
        for (auto &batch : *loader) {
            optimizer.zero_grad();
            // libtorch throws because of the shapes
            if (fails && done > total / 2) batch.data = batch.data.slice(1, 0, 63);
            torch::nn::functional::cross_entropy(model->forward(batch.data), batch.target).backward();
            optimizer.step();
            done += std::size_t(batch.data.size(0));
            epoch.progress(done, total);
        }
        if (torch::cuda::is_available()) torch::cuda::synchronize();  // running kernels belong to this epoch
    };

    carbontracker::tracker tracker(carbontracker::options().set("epochs", 40).set("sim_cpu", "x:100").set("name", "torch"));
    const double before = accuracy();
    double after = before;
    int ended = 0;
    bool failed = false;
    try {
        auto epoch = tracker.epoch();
        train(epoch, true);
    } catch (const c10::Error &error) {
        failed = true;
        CHECK_HAS(error.what(), "63");
    }
    CHECK(failed && tracker.report("json").find("\"in_epoch\"") == std::string::npos);
    for (auto &&epoch : tracker.epochs(40)) {
        train(epoch, false);
        epoch.end();
        ended++;
        after = accuracy();
        if (after > 0.93) break;
    }
    CHECK(before < 0.4 && after > 0.93 && ended < 40);
    CHECK(ended < 2 || tracker.value("/forecast/after_epochs") >= 1);
    check_report(tracker, ended);
    printf("torch: %d epochs, accuracy %.3f, then %.3f\n%s", ended, before, after, tracker.report().c_str());
}
