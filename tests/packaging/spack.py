"""Loads a Spack recipe without Spack: with stand-ins for names of its package API, and for no others. Prints the values that the
recipe declares."""

import runpy
import sys
import types

sys.dont_write_bytecode = True


def directive(name, allowed):
    def declare(value, **options):
        unknown = set(options) - set(allowed)
        assert not unknown, f"{name} takes no {unknown}"
        print(name, value)

    return declare


class MakefilePackage:
    """A stand-in for the class in spack_repo.builtin.build_systems.makefile: phases edit, build, install; check is for tests."""

    build_targets = []
    install_targets = ["install"]
    prefix = "/spack/prefix"
    spec = types.SimpleNamespace(satisfies=lambda what: what == "+live")
    stage = types.SimpleNamespace(path="/spack/stage", source_path="/spack/stage/source")


package = types.ModuleType("spack.package")
package.license = directive("license", ["checked_by", "when"])
package.version = directive("version", ["sha256", "url", "git", "branch", "tag", "commit", "preferred", "deprecated"])
package.depends_on = directive("depends_on", ["type", "when", "patches"])
package.requires = directive("requires", ["policy", "when", "msg"])
package.conflicts = directive("conflicts", ["when", "msg"])
package.variant = directive("variant", ["default", "description", "values", "multi", "when"])
package.join_path = lambda *parts: "/".join(parts)
package.EnvironmentModifications = type("EnvironmentModifications", (), {"set": lambda _, *pair: print("set", *pair)})
package.working_dir = None
package.make = None

makefile = types.ModuleType("spack_repo.builtin.build_systems.makefile")
makefile.MakefilePackage = MakefilePackage
for name in ["spack", "spack_repo", "spack_repo.builtin", "spack_repo.builtin.build_systems"]:
    sys.modules[name] = types.ModuleType(name)
sys.modules["spack.package"] = package
sys.modules[makefile.__name__] = makefile

recipe = runpy.run_path(sys.argv[1])["Carbontracker"]
assert issubclass(recipe, MakefilePackage) and recipe.__doc__
print("build", *recipe().build_targets)
print("install", *recipe().install_targets)
recipe().setup_build_environment(package.EnvironmentModifications())
