# SPDX-License-Identifier: MIT
"""Spack's recipe. Copy it to packages/carbontracker/ of a package repository. It builds a checkout:

    spack develop --path=/path/to/checkout carbontracker@0.1.0
    spack install carbontracker
"""

from spack_repo.builtin.build_systems.makefile import MakefilePackage

from spack.package import *


class Carbontracker(MakefilePackage):
    """Measures and forecasts the energy and CO2e of a training or time loop, from C, C++, Fortran, Julia, Lua and every
    language that calls C."""

    # Add homepage and git when the project is published. Until then the source comes from `spack develop`.

    license("MIT")

    version("0.1.0")

    variant("live", default=True, description="Support live services of carbon intensity")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("rust@1.85:", type="build")

    requires("platform=linux", msg="carbontracker reads the energy counters of Linux")

    @property
    def build_targets(self):
        return [f"LIVE={int(self.spec.satisfies('+live'))}"]

    @property
    def install_targets(self):
        return ["install", f"PREFIX={self.prefix}", "LIBDIR=lib"]

    def setup_build_environment(self, env: EnvironmentModifications) -> None:
        # Crates are stored with the build, not in the user's home.
        env.set("CARGO_HOME", join_path(self.stage.path, "cargo"))

    def check(self) -> None:
        """Trains a small network and measures it. (`make check` needs the tools of every language.)"""
        with working_dir(self.stage.source_path):
            make("demo")
