/* A small convolutional network in libtorch, on examples/digits.csv. An epoch is a pass over the training set, and an
 * evaluation after its last batch. Every fifth epoch is followed by a checkpoint in /dev/null, between the epochs. */
#include "trial.h"

#include <torch/torch.h>

#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace {

constexpr int64_t BATCH = 32, SIDE = 8, TESTS = 300;

struct Network : torch::nn::Module {
    torch::nn::Conv2d first, second;
    torch::nn::Linear hidden, last;

    Network()
        : first(register_module("first", torch::nn::Conv2d(torch::nn::Conv2dOptions(1, 16, 3).padding(1)))),
          second(register_module("second", torch::nn::Conv2d(torch::nn::Conv2dOptions(16, 32, 3).padding(1)))),
          hidden(register_module("hidden", torch::nn::Linear(32 * SIDE * SIDE / 4, 96))),
          last(register_module("last", torch::nn::Linear(96, 10)))
    {
    }

    torch::Tensor forward(torch::Tensor x)
    {
        x = torch::relu(second(torch::relu(first(x))));
        x = torch::max_pool2d(x, 2).flatten(1);
        return last(torch::relu(hidden(x)));
    }
};

struct Images {
    torch::Tensor pixels, digits;
};

/* A line has 64 pixels of one character each (0-9, a-g for 0 to 16), a comma and the digit; # begins a comment. */
Images read_images(const char* path)
{
    std::ifstream file(path);
    std::vector<float> pixels;
    std::vector<int64_t> digits;
    for (std::string line; std::getline(file, line);) {
        if (line.size() < SIDE * SIDE + 2 || line[0] == '#')
            continue;
        for (int i = 0; i < SIDE * SIDE; i++)
            pixels.push_back((line[i] <= '9' ? line[i] - '0' : line[i] - 'a' + 10) / 16.0f);
        digits.push_back(line[SIDE * SIDE + 1] - '0');
    }
    const auto count = static_cast<int64_t>(digits.size());
    if (count <= TESTS) {
        std::cerr << "torch: " << path << " has too few images\n";
        std::exit(1);
    }
    return {torch::tensor(pixels).view({count, 1, SIDE, SIDE}), torch::tensor(digits)};
}

double accuracy(Network& network, const Images& images)
{
    torch::NoGradGuard no_gradients;
    const auto guess = network.forward(images.pixels.slice(0, 0, TESTS)).argmax(1);
    return guess.eq(images.digits.slice(0, 0, TESTS)).to(torch::kFloat).mean().item<double>();
}

}  // namespace

int main(int argc, char** argv)
{
    torch::set_num_threads(1);
    torch::manual_seed(17);
    std::cerr << "libtorch " << TORCH_VERSION << "\n";
    trial t = trial_create("torch", argc, argv);
    const Images images = read_images("examples/digits.csv");
    Network network;
    torch::optim::Adam optimiser(network.parameters(), torch::optim::AdamOptions(1e-3));
    const int64_t count = images.digits.size(0), batches = (count - TESTS) / BATCH;

    double right = 0;
    for (int epoch = 0; epoch < t.epochs; epoch++) {
        trial_begin(&t);
        const auto order = TESTS + torch::randperm(count - TESTS);
        for (int64_t batch = 0; batch < batches; batch++) {
            const auto chosen = order.slice(0, batch * BATCH, (batch + 1) * BATCH);
            optimiser.zero_grad();
            const auto scores = network.forward(images.pixels.index_select(0, chosen));
            auto loss = torch::nn::functional::cross_entropy(scores, images.digits.index_select(0, chosen));
            loss.backward();
            optimiser.step();
            trial_mark(&t, static_cast<int>(batch + 1), static_cast<int>(batches));
        }
        right = accuracy(network, images);
        trial_end(&t);
        if (epoch % 5 == 4) {
            std::ofstream nowhere("/dev/null");
            torch::serialize::OutputArchive archive;
            network.save(archive);
            archive.save_to(nowhere);
        }
    }
    std::cerr << "accuracy " << right << "\n";
    trial_destroy(&t);
    return 0;
}
