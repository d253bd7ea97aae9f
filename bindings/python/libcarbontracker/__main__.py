"""The command carbontracker of this package: `ctrack …` or `python -m libcarbontracker …`."""

import os
import shutil
import sys


def main():
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "carbontracker")
    command = own if os.path.exists(own) else shutil.which("ctrack")
    if not command or os.path.realpath(command) == os.path.realpath(sys.argv[0]):
        sys.exit("libcarbontracker: this package has no command; install the wheel, or carbontracker itself")
    os.execv(command, ["ctrack", *sys.argv[1:]])


if __name__ == "__main__":
    main()
