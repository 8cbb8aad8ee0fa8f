"""How the command line meets people: help, a reader who leaves, a terminal that cannot show a name, a full disk."""

import errno
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from scratchvae import __version__
from scratchvae.cli import COMMANDS, WRITERS, main
from scratchvae.commands import needed
from scratchvae.commands.options import command_line

ROOT = Path(__file__).parent.parent.parent
PAIR = "def f(x): return 2 * x, None\ndef f_backward(dy, cache): return 2 * dy\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a small data set and a file for gradcheck."""
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 255, size=(30, 6), dtype="uint8")
    np.savez("tiny.npz", x_train=x[:20], x_test=x[20:])
    Path("student.py").write_text(PAIR)
    return tmp_path


def start(*argv, program=(sys.executable, "-m", "scratchvae"), **environment):
    """A process of its own, whose output waits in a buffer as it does for anybody."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONUNBUFFERED", "PYTHONIOENCODING")}
    env = {**inherited, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([*program, *argv], capture_output=True, text=True, timeout=60, env=env, errors="replace")


# -- help --------------------------------------------------------------------------------------------------------------


def test_the_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"scratchvae {__version__}\n")


def test_no_verb_prints_the_help_and_does_not_pass_for_success(capsys):
    """A person sees the help, on standard output, where a pager finds it. A script whose verb is empty has not done
    what it was written for, and learns that from the exit code, as it does from git and from ruff."""
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("usage: scratchvae ")
    assert all(re.search(rf"^ +{verb}\b", out, re.MULTILINE) for verb in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ("train foo", "scratchvae train: unrecognized arguments: foo; see python -m scratchvae train --help"),
        ("data mnist x", "scratchvae data: unrecognized arguments: x; see python -m scratchvae data --help"),
        ("--foo", "scratchvae: unrecognized arguments: --foo; see python -m scratchvae --help"),
    ],
)
def test_a_complaint_names_the_help_that_helps(capsys, argv, line):
    with pytest.raises(SystemExit) as stop:
        main(argv.split())
    assert (stop.value.code, capsys.readouterr().err) == (2, f"{line}\n")


# -- the program's own name: what is printed can be pasted -------------------------------------------------------------


def test_python_m_is_named_as_it_was_typed(folder):
    odd = folder / "my environment" / "python"
    odd.parent.mkdir()
    odd.symlink_to(sys.executable)
    done = start("train", "foo", program=(str(odd), "-X", "utf8", "-m", "scratchvae"), PYTHONPATH=path_of_this_python())
    told = done.stderr.strip().split("; see ")[1]
    assert told == f"'{odd}' -X utf8 -m scratchvae train --help"
    again = subprocess.run(
        told, shell=True, capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=path_of_this_python())
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert f"  {shlex.quote(str(odd))} -X utf8 -m scratchvae train --resume" in again.stdout  # the examples, too


def path_of_this_python():
    return os.pathsep.join([str(ROOT), *(entry for entry in sys.path if entry)])


@pytest.mark.parametrize("on_the_path", [True, False])
def test_the_installed_command_is_named_as_it_was_typed(folder, on_the_path):
    script = folder / "bin" / "scratchvae"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom scratchvae.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
    if on_the_path:
        done = start("train", "foo", program=(str(script),), PATH=f"{script.parent}{os.pathsep}{os.environ['PATH']}")
        assert done.stderr.endswith("; see scratchvae train --help\n")
    else:
        assert start("train", "foo", program=("bin/scratchvae",)).stderr.endswith("; see bin/scratchvae train --help\n")


def test_words_with_spaces_are_quoted():
    assert command_line("train", "--out", Path("a b/c")) == "python -m scratchvae train --out 'a b/c'"


# -- a reader who leaves -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A finished run, for the verbs that need one."""
    folder = tmp_path_factory.mktemp("finished")
    np.save(folder / "points.npy", np.random.default_rng(0).standard_normal((20, 3)))
    argv = ["train", "--data", str(folder / "points.npy"), "--likelihood", "gaussian", "--epochs", "1", "--hidden", "3"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scratchvae.view.plots.write_pictures", lambda *args, **keywords: [])
        assert main([*argv, "--out", str(folder / "run")]) == 0
    return folder / "run"


VERBS = ["", "--help", "--version", "data", "doctor", "gradcheck student.py", "train --data tiny.npz --epochs 1"]
VERBS += [f"{verb} RUN" for verb in ("evaluate", "sample", "plot")]


@pytest.mark.parametrize(("argv", "unbuffered"), [*((verb, "") for verb in VERBS), ("data", "1"), ("doctor", "1")])
def test_a_reader_who_leaves_ends_it_quietly(folder, run_folder, argv, unbuffered):
    """`... | head -0`: nobody reads. Exit code 141, which is what a shell gives a program that ends so."""
    reader, writer = os.pipe()
    os.close(reader)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "scratchvae", *argv.replace("RUN", str(run_folder)).split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=env, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_first_line_arrives_before_the_reader_leaves(folder):
    command = f"{shlex.quote(sys.executable)} -m scratchvae data | head -1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=str(ROOT))
    )
    assert done.stdout.split()[:2] == ["name", "images"]
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_to_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        env = dict(os.environ, PYTHONPATH=str(ROOT))
        env.pop("PYTHONUNBUFFERED", None)
        command = [sys.executable, "-m", "scratchvae", "data"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=env, timeout=60)
    assert done.stderr == "scratchvae: cannot write what it prints: No space left on device\n"
    assert done.returncode == 2


# -- names that a terminal cannot show ---------------------------------------------------------------------------------

TERMINALS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "cp1252, as Windows writes into a file": {"PYTHONIOENCODING": "cp1252"},
    "LC_ALL=C": {"LC_ALL": "C"},
    "LC_ALL=C, and Python believes it": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.mark.parametrize("terminal", TERMINALS)
def test_a_name_that_cannot_be_shown_stops_nothing(folder, terminal):
    Path("smörgås 日本.py").write_text(PAIR.replace("f", "größe").replace("degröße", "def"), encoding="utf-8")
    done = start("gradcheck", "smörgås 日本.py", **TERMINALS[terminal])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("1 checked, none wrong\n")
    missing = start("gradcheck", "日本.py", **TERMINALS[terminal])
    assert missing.returncode == 2
    assert re.fullmatch(
        r"scratchvae gradcheck: FILE should be a Python file, and .*\.py is not there.*\n", missing.stderr
    )


def test_a_run_with_such_a_name_is_a_whole_run(folder):
    Path("tiny.npz").rename("日本 é.npz")
    done = start("train", "--data", "日本 é.npz", "--epochs", "1", "--hidden", "4", **TERMINALS["ascii"])
    assert (done.returncode, done.stderr) == (0, "")
    run = Path("runs/日本 é-vae-2")
    assert {"config.json", "metrics.csv", "checkpoint.npz", "learning_curves.png"} <= {p.name for p in run.iterdir()}
    assert "wrote runs/\\u65e5\\u672c " in done.stdout


# -- places where one may not write ------------------------------------------------------------------------------------

REASONS = {
    errno.EACCES: "permission denied",
    errno.EROFS: "read-only file system",
    errno.ENOTDIR: "not a directory",
    errno.ENAMETOOLONG: "file name too long",
    errno.ENOSPC: "no space left on device",
}


@pytest.mark.parametrize("code", REASONS)
@pytest.mark.parametrize("verb", COMMANDS)
def test_what_the_system_refuses_is_one_plain_line(monkeypatch, capsys, verb, code):
    def refuse(args):
        raise OSError(code, os.strerror(code), "some/place")

    monkeypatch.setattr(COMMANDS[verb], "run", refuse)
    assert main([verb, *(["RUN"] if verb in ("evaluate", "sample", "plot") else [])]) == 2
    doing, advice = ("write", WRITERS[verb]) if verb in WRITERS else ("read", "check the path")
    line = f"scratchvae {verb}: cannot {doing} some/place: {REASONS[code]}; {advice}\n"
    assert capsys.readouterr() == ("", line)


def test_of_two_names_the_last_is_told_and_without_a_name_none(monkeypatch, capsys):
    errors = iter([OSError(13, "Permission denied", "a.part", None, "a"), OSError(28, "No space left on device")])

    def refuse(args):
        raise next(errors)

    monkeypatch.setattr(COMMANDS["train"], "run", refuse)
    assert main(["train"]) == main(["train"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "scratchvae train: cannot write a: permission denied; choose another --out",
        "scratchvae train: cannot write: no space left on device; choose another --out",
    ]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("tiny.npz/run", "out should be a folder that can be written to, got {out} (Not a directory); choose another"),
        ("n" * 300, "cannot write {out}: file name too long; choose another --out"),
    ],
)
def test_a_run_folder_that_cannot_be_made(folder, capsys, out, message):
    assert main(["train", "--data", "tiny.npz", "--epochs", "1", "--out", out]) == 2
    assert capsys.readouterr().err == f"scratchvae train: {message.format(out=out)}\n"


# -- a Python without the packages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """An environment with nothing in it, not even pip."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


@pytest.mark.parametrize("argv", ["doctor", "train", "--help", ""])
def test_a_bare_python_is_told_what_is_missing_and_the_one_command(bare, folder, argv):
    done = start(*argv.split(), program=(str(bare), "-m", "scratchvae"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"scratchvae needs numpy, matplotlib, pillow, tqdm, threadpoolctl, which {bare} does not have; install with: "
        f"{bare} -m venv .venv && .venv/bin/python -m pip install -e {ROOT}; then start it with .venv/bin/python\n"
    )


@pytest.mark.parametrize("argv", [["scratchvae"], ["-m", "scratchvae.museum"]])
def test_the_installed_command_and_the_museum_tell_it_too(bare, folder, argv):
    Path("scratchvae").write_text("from scratchvae.cli import main\nmain()\n")
    done = start(program=(str(bare), *argv))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("scratchvae needs numpy, ")
    assert done.stderr.count("\n") == 1


def test_in_an_environment_with_pip_the_command_is_pip(bare, folder, monkeypatch):
    site = Path(
        start("-c", "import sysconfig; print(sysconfig.get_path('purelib'))", program=(str(bare),)).stdout.strip()
    )
    monkeypatch.syspath_prepend(str(site))
    for name in ("pip", "numpy"):
        (site / f"{name}.py").write_text("")
    try:
        told = start("doctor", program=(str(bare), "-m", "scratchvae")).stderr
    finally:
        for name in ("pip", "numpy"):
            (site / f"{name}.py").unlink()
    assert told == (
        f"scratchvae needs matplotlib, pillow, tqdm, threadpoolctl, which {bare} does not have; "
        f"install with: {bare} -m pip install -e {ROOT}\n"
    )


def test_outside_of_an_environment_the_command_makes_one_though_pip_is_there(monkeypatch):
    """A system's own Python refuses what pip would do to it."""
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    made = f"{shlex.quote(sys.executable)} -m venv .venv && .venv/bin/python -m pip install -e "
    assert needed.cure(["numpy"]).startswith(made)


def test_an_installed_package_asks_for_what_is_missing_and_not_for_a_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(needed, "FOLDER", str(tmp_path))
    assert re.search(
        r" -m pip install numpy tqdm(; then start it with \.venv/bin/python)?$", needed.cure(["numpy", "tqdm"])
    )


def test_a_program_that_imports_the_package_is_not_ended(bare, folder):
    code = "try:\n    import scratchvae\nexcept ModuleNotFoundError as error:\n    print(error.name)"
    assert start("-c", code, program=(str(bare),)).stdout == "numpy\n"


def test_an_old_python_is_told_so(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    assert needed.complaint() == (
        f"scratchvae needs Python 3.11 or newer, and {sys.executable} is 3.10; start it with a newer one"
    )


def test_what_is_needed_is_what_pyproject_says():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.match(r"[\w-]+", dependency)[0] for dependency in project["dependencies"]]
    assert names == list(needed.PACKAGES.values())
    assert project["requires-python"] == f">={needed.PYTHON[0]}.{needed.PYTHON[1]}"
    assert needed.complaint() == ""


def test_a_file_of_ones_own_is_named_in_what_can_be_pasted(monkeypatch):
    """As docs/extending.md starts the command line: `python -m scratchvae` would not know what the file adds."""
    monkeypatch.setattr("sys.argv", ["my_scratchvae.py", "train"])
    assert command_line("plot", "runs/x") == "python my_scratchvae.py plot runs/x"
    monkeypatch.setattr("sys.argv", ["/usr/lib/ipykernel_launcher.py", "-f", "x.json"])
    assert command_line("plot", "runs/x") == "python -m scratchvae plot runs/x"
