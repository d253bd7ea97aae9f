// A melting crystal in LAMMPS, through its C library: a block of time steps is an epoch.
#include "digits.hpp"

#include <lammps/library.h>

#include <cmath>
#include <stdexcept>

// An exception closes it too, before MPI.
struct Lammps {
    void *handle;

    Lammps() {
        char name[] = "lammps", log[] = "-log", screen[] = "-screen", none[] = "none";
        char *arguments[] = {name, log, none, screen, none};
        handle = lammps_open_no_mpi(5, arguments, nullptr);
        CHECK(handle != nullptr);
    }
    ~Lammps() {
        lammps_close(handle);
        lammps_mpi_finalize();
    }
    void command(const char *text) { lammps_command(handle, text); }
    double thermo(const char *name) { return lammps_get_thermo(handle, name); }
};

int main() {
    const int blocks = 5, steps = 100;
    Lammps lammps;
    lammps_commands_string(lammps.handle, "units lj\natom_style atomic\nlattice fcc 0.8442\nregion box block 0 5 0 5 0 5\n"
                                          "create_box 1 box\ncreate_atoms 1 box\nmass 1 1.0\nvelocity all create 3.0 87287\n"
                                          "pair_style lj/cut 2.5\npair_coeff 1 1 1.0 1.0 2.5\nneigh_modify every 20 delay 0\n"
                                          "fix 1 all nve\nthermo_style custom step temp etotal\nrun 0\n");
    const double start = lammps.thermo("etotal"), hot = lammps.thermo("temp");
    carbontracker::tracker tracker(carbontracker::options().set("epochs", blocks).set("sim_cpu", "x:100").set("name", "melt"));
    for (auto &&epoch : tracker.epochs(blocks)) {
        for (int part = 1; part <= 4; part++) {
            lammps.command(("run " + std::to_string(steps / 4) + " pre no post no").c_str());
            epoch.progress(std::uint64_t(part), 4);
        }
    }
    CHECK_INT(lammps.thermo("step"), blocks * steps);
    CHECK(lammps.thermo("temp") < 0.7 * hot);
    CHECK(std::fabs(lammps.thermo("etotal") - start) < 0.05 * std::fabs(start));
    bool failed = false;
    try {
        const auto epoch = tracker.epoch();
        lammps.command("run 25 pre no post no");
        if (lammps.thermo("temp") < hot) throw std::runtime_error("it cools");
    } catch (const std::runtime_error &) {
        failed = true;
    }
    CHECK(failed);
    check_report(tracker, blocks);
    printf("%s", tracker.report().c_str());
}
