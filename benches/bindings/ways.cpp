// The cost of an epoch in each way of the header and in C, in the same program. Prints the least of five rounds, ns.
#include <carbontracker.hpp>
#include <chrono>
#include <cstdio>

template <class Loop> static void turn(double &best, Loop loop) {
    const auto begin = std::chrono::steady_clock::now();
    loop();
    const double took = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
    if (best == 0 || took < best) best = took;
}

int main() {
    const int pairs = 50000, turns = 5;
    carbontracker::tracker t("sim_cpu=bench:100");
    ct_tracker *const c = t.native();
    double in_c = 0, plain = 0, scoped = 0, ranged = 0;
    for (int n = 0; n < turns; n++) {
        turn(in_c, [&] {
            for (int i = 0; i < pairs; i++) {
                ct_epoch_begin(c);
                ct_epoch_end(c);
            }
        });
        turn(plain, [&] {
            for (int i = 0; i < pairs; i++) {
                t.epoch_begin();
                t.epoch_end();
            }
        });
        turn(scoped, [&] {
            for (int i = 0; i < pairs; i++) {
                const carbontracker::epoch e = t.epoch();
            }
        });
        turn(ranged, [&] {
            for (auto &&e : t.epochs(pairs)) {
                (void)e;
            }
        });
    }
    std::printf("begin + end: C %.1f ns, plain %.1f ns, scope %.1f ns, range %.1f ns\n", in_c / pairs, plain / pairs, scoped / pairs,
                ranged / pairs);
}
