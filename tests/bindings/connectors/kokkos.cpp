// A real Kokkos program: each of five time steps is a region, with another region inside.
#include <Kokkos_Core.hpp>
#include <cstdio>

int main(int argc, char **argv)
{
    Kokkos::initialize(argc, argv);
    double total = 0;
    for (int step = 0; step < 5; step++) {
        Kokkos::Profiling::pushRegion("step");
        Kokkos::Profiling::pushRegion("sum");
        double sum = 0;
        Kokkos::parallel_reduce(
            "harmonic", 20000000, KOKKOS_LAMBDA(const int i, double &s) { s += 1.0 / (i + 1.0); }, sum);
        Kokkos::Profiling::popRegion();
        total += sum;
        Kokkos::Profiling::popRegion();
    }
    Kokkos::finalize();
    std::printf("%.6f\n", total);
    return 0;
}
