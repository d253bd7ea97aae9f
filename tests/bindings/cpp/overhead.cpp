// The cost of an epoch through the header and in C, in the same program. Prints the best of several rounds, ns.
#include "../c/check.h"

#include <carbontracker.hpp>

template <class Loop> static void turn(double &best, Loop loop) {
    const double begin = now_s();
    loop();
    const double took = now_s() - begin;
    if (best == 0 || took < best) best = took;
}

int main(int argc, char **argv) {
    const int pairs = argc > 1 ? atoi(argv[1]) : 50000, turns = 5;
    carbontracker::tracker t("sim_cpu=x:100");
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
    const double ns = 1e9 / pairs;
    printf("begin + end: C %.1f ns, plain %.1f ns, scope %.1f ns, range %.1f ns\n", ns * in_c, ns * plain, ns * scoped, ns * ranged);
    CHECK_INT(t.value("/run/epochs_done"), 4.0 * turns * pairs);
    CHECK_BETWEEN(ns * plain, 0, ns * in_c + 1000);
    CHECK_BETWEEN(ns * scoped, 0, ns * in_c + 1000);
    CHECK_BETWEEN(ns * ranged, 0, ns * in_c + 1000);
}
