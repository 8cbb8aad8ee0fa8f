"""What the package stands on, and one plain line where that is not there.

`import scratchvae` reads this before any other file, so it asks for nothing but an old Python 3.
"""

import importlib.util
import os
import shlex
import sys

PYTHON = (3, 11)
PACKAGES = {  # how it is imported -> what pip calls it
    "numpy": "numpy",
    "matplotlib": "matplotlib",
    "PIL": "pillow",
    "tqdm": "tqdm",
    "threadpoolctl": "threadpoolctl",
}
FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def complain_and_stop() -> None:
    """End the command line with one line if something is missing; a program that imports the package goes on."""
    if os.path.splitext(os.path.basename(sys.argv[0]))[0] not in ("-m", "scratchvae"):
        return  # why -m: that is what sys.argv begins with while `python -m scratchvae` imports the package
    text = complaint()
    if text:
        sys.stderr.write(text + "\n")
        sys.exit(1)


def complaint() -> str:
    """What is missing, and the one command that mends it; nothing if all is there."""
    if sys.version_info < PYTHON:
        wanted, found = (f"{version[0]}.{version[1]}" for version in (PYTHON, sys.version_info))
        return f"scratchvae needs Python {wanted} or newer, and {sys.executable} is {found}; start it with a newer one"
    missing = [name for module, name in PACKAGES.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return ""
    return f"scratchvae needs {', '.join(missing)}, which {sys.executable} does not have; install with: {cure(missing)}"


def cure(missing: "list[str]") -> str:
    """A line for the shell, from the folder that one is in: into the environment that is active, or into a new one."""
    checkout = os.path.exists(os.path.join(FOLDER, "pyproject.toml"))
    what = ["-e", "." if os.getcwd() == FOLDER else FOLDER] if checkout else missing
    if sys.prefix != sys.base_prefix and importlib.util.find_spec("pip"):
        return shlex.join([sys.executable, "-m", "pip", "install", *what])
    python = os.path.join(".venv", "Scripts" if os.name == "nt" else "bin", "python")
    make, install = [sys.executable, "-m", "venv", ".venv"], [python, "-m", "pip", "install", *what]
    return f"{shlex.join(make)} && {shlex.join(install)}; then start it with {python}"
