#!/usr/bin/env python3
"""Writes what the shipped libraries and the command are made of: a list (SBOM, CycloneDX 1.5) and the licences.

    packaging/archive/sbom.py TARGET FOLDER      FOLDER/sbom.cdx.json, FOLDER/LICENCES

cargo-cyclonedx also lists what only tests and builds use, and collects no licence texts. The versions and checksums are
those of Cargo.lock. Macros are left out: they run in the compiler.
"""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

CARGO = os.environ.get("CARGO", "cargo")
SHIPPED = ("carbontracker", "carbontracker-capi", "carbontracker-cli")
TEXTS = ("LICENSE*", "LICENCE*", "COPYING*", "COPYRIGHT*", "NOTICE*", "UNLICENSE*")


def cargo(*arguments):
    return subprocess.run([CARGO, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """Names and versions of the crates that are linked for the target."""
    packages = [word for name in SHIPPED for word in ("-p", name)]
    tree = cargo("tree", "--locked", *packages, "--no-default-features", "--features", "live", "--target", target,
                 "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}")
    return sorted({tuple(line.split()[:2]) for line in tree.splitlines() if line})


def texts(folder):
    """The licence files of a crate."""
    found = {path for pattern in TEXTS for path in folder.glob(pattern) if path.is_file()}
    return {path.name: path.read_text(errors="replace").strip() for path in sorted(found)}


def component(package, checksum):
    entry = {
        "type": "library",
        "bom-ref": f"pkg:cargo/{package['name']}@{package['version']}",
        "name": package["name"],
        "version": package["version"],
        "purl": f"pkg:cargo/{package['name']}@{package['version']}",
    }
    if package["license"]:
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return entry


def main(target, folder):
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    packages = {(one["name"], f"v{one['version']}"): one for one in metadata["packages"]}
    lock = tomllib.loads(Path("Cargo.lock").read_text())["package"]
    checksums = {(one["name"], f"v{one['version']}"): one.get("checksum") for one in lock}
    crates = [packages[key] | {"checksum": checksums[key]} for key in linked(target) if key[0] not in SHIPPED]
    rust = cargo("--version").split()[1]
    std = {"name": "rust-std", "version": rust, "license": "MIT OR Apache-2.0"}
    ours = component(packages[("carbontracker", f"v{lock_version(lock)}")], None)
    sbom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": ours | {"type": "application"}},
        "components": [component(one, one["checksum"]) for one in crates] + [component(std, None)],
    }
    (folder / "sbom.cdx.json").write_text(json.dumps(sbom, indent=1) + "\n")
    by_text = {}
    for one in crates:
        for name, text in texts(Path(one["manifest_path"]).parent).items():
            by_text.setdefault(text, []).append(f"{one['name']} {one['version']} ({one['license']}): {name}")
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    for name in ("MIT", "Apache-2.0"):
        for path in Path(sysroot, "share/doc/rust").glob(f"licenses/{name}.txt"):
            text = path.read_text().strip()
            by_text.setdefault(text, []).append(f"Rust's standard library {rust} ({std['license']}): {name}")
    without = [f"{one['name']} {one['version']}: {one['license']}" for one in crates
               if not texts(Path(one["manifest_path"]).parent)]
    with open(folder / "LICENCES", "w") as file:
        file.write("Licences of the crates in the libraries and the command.\n")
        if without:
            file.write("\nThese crates come without a text; their licences by name:\n\n" + "\n".join(without) + "\n")
        for text, names in by_text.items():
            file.write("\n" + "=" * 80 + "\n" + "\n".join(names) + "\n\n" + text + "\n")


def lock_version(lock):
    return next(one["version"] for one in lock if one["name"] == "carbontracker")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
