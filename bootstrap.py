"""Make the virtual environment that the Makefile works in, or say in one sentence what to install first.

Whatever `python3` a machine has runs this file, so it must stay readable by Python 3.6: no newer syntax here.
"""

import os
import shutil
import subprocess
import sys

MINIMUM = (3, 11)


def advice(missing, system_packages, is_root):
    """Return the command that installs what is missing: the part of the message that people type."""
    apt = "apt install " if is_root else "sudo apt install "
    if system_packages == "apt":
        return "Type: " + apt + missing
    if system_packages == "brew":
        return "Type: brew install python@3.13"
    return "Install Python 3.13 from python.org or your system's packages, then type make again."


def complaint(version, has_venv, system_packages, is_root):
    """Return why this Python cannot be used, and what to type; None when it can."""
    if tuple(version) < MINIMUM:
        what = "Bise needs Python 3.11 or newer, but python3 here is {}.{}. ".format(*version)
        return what + advice("python3.11 python3.11-venv", system_packages, is_root)
    if not has_venv:
        what = "Python {}.{} is here, but not its venv module. ".format(*version)
        return what + advice("python{}.{}-venv".format(*version), system_packages, is_root)
    return None


def newest_python():
    """Return the Python that runs this file when it is new enough, else the newest on PATH that is, else itself."""
    if sys.version_info >= MINIMUM:
        return sys.executable
    found = [shutil.which("python3.{}".format(minor)) for minor in range(14, MINIMUM[1] - 1, -1)]
    return next((path for path in found if path), sys.executable)


def probe(python):
    """Ask a Python for its version, and whether it can make virtual environments with pip in them."""
    script = (
        "import sys, importlib.util as u;"
        "print(sys.version_info[0], sys.version_info[1], int(all(u.find_spec(n) for n in ('venv', 'ensurepip'))))"
    )
    major, minor, has_venv = subprocess.check_output([python, "-c", script]).split()
    return (int(major), int(minor)), has_venv == b"1"


def main(directory):
    """Create the environment unless it is there already."""
    python = newest_python()
    version, has_venv = probe(python)
    managers = [name for name, program in (("apt", "apt-get"), ("brew", "brew")) if shutil.which(program)]
    problem = complaint(version, has_venv, managers[0] if managers else "", getattr(os, "geteuid", int)() == 0)
    if problem:
        sys.exit(problem)
    if not os.path.exists(os.path.join(directory, "bin", "pip")):
        subprocess.check_call([python, "-m", "venv", directory])


if __name__ == "__main__":
    main(sys.argv[1])
