"""Verified download, against mirrors on this machine that behave well, badly and strangely."""

import gzip
import hashlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from scratchvae import load_data
from scratchvae.cli import main
from scratchvae.data import DataError, download, make_sample, transfer
from scratchvae.data.files import IDX_FILES
from scratchvae.data.sources import SOURCES, Source

REAL = Path(os.environ.get("SCRATCHVAE_DATA", "nowhere")) / "mnist"
needs_real_files = pytest.mark.skipif(not REAL.is_dir(), reason="set SCRATCHVAE_DATA to a folder that holds mnist/")
IMAGES = IDX_FILES["x_train"]


def to_idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def make_arrays(seed):
    """A small set of the same form: random bytes do not compress, so that a file can be cut in its middle."""
    rng = np.random.default_rng(seed)
    arrays = {"x_train": rng.integers(0, 256, (300, 28, 28)), "x_test": rng.integers(0, 256, (20, 28, 28))}
    arrays |= {"y_train": rng.integers(0, 10, 300), "y_test": rng.integers(0, 10, 20)}
    return {key: array.astype("uint8") for key, array in arrays.items()}


ARRAYS = make_arrays(0)
CONTENT = {f"{IDX_FILES[key]}.gz": to_idx(array) for key, array in ARRAYS.items()}
SHA256 = {name.removesuffix(".gz"): hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
RIGHT = {name: gzip.compress(content, mtime=0) for name, content in CONTENT.items()}
REPACKED = {name: gzip.compress(content, compresslevel=1, mtime=9) for name, content in CONTENT.items()}
WRONG = {f"{IDX_FILES[key]}.gz": gzip.compress(to_idx(array)) for key, array in make_arrays(1).items()}


HONOURS_RANGES = ("good", "slow", "short", "repacked", "wrong")


class Mirror(BaseHTTPRequestHandler):
    """GET /BEHAVIOUR/FILE.gz; the server keeps the list of requests."""

    def do_GET(self):
        behaviour, name = self.path.strip("/").split("/")
        wanted = self.headers["Range"]
        self.server.requests.append((behaviour, name, wanted))
        if behaviour == "gone":
            return self.send_error(404)
        if behaviour == "silent":
            return self.server.over.wait(5)
        if behaviour == "moved":
            self.send_response(302)
            self.send_header("Location", "/page/login.html")
            return self.end_headers()
        if behaviour == "endless":
            return self.send_endlessly()
        if behaviour.startswith("drip"):
            return self.drip(behaviour, RIGHT[name], wanted)
        body = {
            "wrong": WRONG,
            "wrong-ranges": WRONG,
            "repacked": REPACKED,
            "page": {name: b"<!doctype html><p>Please log in"},
        }.get(behaviour, RIGHT)[name]
        begin = 0 if wanted is None or behaviour not in HONOURS_RANGES else int(wanted[6:-1])
        if begin >= len(body) or behaviour == "refusing":
            return self.send_error(416)
        part = body[begin:]
        partial = begin > 0 or behaviour in (
            "other-ranges",
            "wrong-ranges",
        )  # the latter two send all, and call it part
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if behaviour == "short":  # a part of what Content-Length promised
            part = part[: len(part) // 2]
        for chunk in (part[i : i + 8192] for i in range(0, len(part), 8192)):
            self.wfile.write(chunk)
            if behaviour == "slow":
                time.sleep(0.02)
        return None

    def send_endlessly(self):
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(200):  # 13 MB, more than anybody should wait for here
                self.wfile.write(bytes(65536))
        except OSError:
            pass

    def drip(self, behaviour, body, wanted):
        """A byte in 20 ms: of the first line, of a header, of a chunk's length, or of a body that began fast."""
        begin = int(wanted[6:-1]) if wanted else 0
        start = {
            "drip-line": b"HTTP/1.0 2",
            "drip-header": b"HTTP/1.0 200 OK\r\nX: ",
            "drip-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
            "drip-body": b"HTTP/1.0 %d OK\r\nContent-Length: %d\r\n\r\n" % (206 if begin else 200, len(body) - begin),
        }[behaviour]
        rest = body[begin:] if behaviour == "drip-body" else b"0" * 10_000
        try:
            self.wfile.write(start + (rest[:1000] if behaviour == "drip-body" else b""))
            for byte in rest[1000:1500]:  # ten seconds
                self.wfile.write(bytes([byte]))
                if self.server.over.wait(0.02):
                    return
        except OSError:
            pass

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """It forgives readers that leave in the middle."""

    daemon_threads = True

    def handle_error(self, request, address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, address)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server(("127.0.0.1", 0), Mirror) as server:
        server.requests, server.over = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path))
    yield tmp_path / "mnist"
    for file in (tmp_path / "mnist").glob("*"):  # whatever happened: a final name means that the content is right
        if file.name not in (".lock", f"{file.stem}.part"):
            content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
            assert hashlib.sha256(content).hexdigest() == SHA256[file.name.removesuffix(".gz")], file


@pytest.fixture
def mirrors(server, monkeypatch):
    """mirrors("wrong", "good") makes them the mirrors of "mnist"."""

    def choose(*behaviours):
        urls = tuple(b if b.startswith("http") else f"{server.url}/{b}/" for b in behaviours)
        monkeypatch.setitem(SOURCES, "mnist", Source(urls, 1, SHA256))

    return choose


def assert_whole(data):
    assert data.name == "mnist"
    assert data.image_shape == (28, 28)
    for key, array in ARRAYS.items():
        assert np.array_equal(getattr(data, key), array.reshape(len(array), -1) if key[0] == "x" else array), key


def dead_url():
    """A port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/dead/"


def asked(server, behaviour):
    return [(name.removesuffix(".gz"), wanted) for b, name, wanted in server.requests if b == behaviour]


# -- one process -------------------------------------------------------------------------------------------------------


def test_a_good_mirror_is_asked_once(server, folder, mirrors, capsys):
    mirrors("good", "gone")
    assert_whole(load_data("mnist"))
    assert sorted(file.name for file in folder.iterdir()) == sorted([".lock", *RIGHT])
    assert asked(server, "good") == [(name, None) for name in IDX_FILES.values()]
    assert_whole(load_data("mnist"))
    assert len(server.requests) == 4, "what is there and right is not fetched again"
    assert capsys.readouterr() == ("", ""), "no progress bar where there is no terminal"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("wrong", rf"{IMAGES}.gz.part should be [^()]* sha256 of its content is \w{{64}}, not {SHA256[IMAGES]}"),
        ("dead", "Connection refused"),
        ("wrong-ranges", "sha256"),
        ("gone", "HTTP Error 404: Not Found"),
        ("short", r"the connection ended \d+ bytes early"),
        (
            "moved",
            rf"{IMAGES}.gz.part should be an IDX file[^()]* it begins with 3c 21 64, not with 00 00 and one of 08, ",
        ),
        ("refusing", "HTTP Error 416"),
        ("silent", "timed out"),
        ("endless", "no file of these data sets is so long, and more than 1000000 bytes came"),
    ],
)
def test_a_bad_mirror_then_a_good_one_or_an_error_that_names_it(server, folder, mirrors, monkeypatch, bad, reason):
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    monkeypatch.setattr(transfer, "FREE", 1_000_000)
    url = dead_url() if bad == "dead" else f"{server.url}/{bad}/"
    mirrors(url, url)
    with pytest.raises(DataError) as caught:
        load_data("mnist")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{IMAGES}.gz should come from one of its mirrors, and none gave it: {url}{IMAGES}.gz (")
    assert len(re.findall(rf"{re.escape(url)}{IMAGES}.gz \([^()]*{reason}", message)) == 2
    by_hand = f"put the files {', '.join(f'{name}.gz' for name in IDX_FILES.values())} into {folder} yourself"
    assert message.endswith(f"; try again later, or {by_hand}")
    assert [file.suffix for file in folder.glob(f"{IMAGES}*")] == ([".part"] if bad == "short" else []), "no rubbish"
    mirrors(url, "good")
    assert_whole(load_data("mnist"))
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("drip", ["drip-line", "drip-header", "drip-chunk", "drip-body"])
def test_a_slow_drip_comes_to_an_end(server, folder, mirrors, monkeypatch, drip):
    """No pause is as long as the time limit of a socket, and all of it would take ten seconds and more."""
    monkeypatch.setattr(transfer, "DEADLINE", 1.0)
    mirrors(drip)
    began = time.monotonic()
    with pytest.raises(DataError, match=rf"{drip}/{IMAGES}.gz \(it had not come after 1 seconds\)"):
        load_data("mnist")
    assert time.monotonic() - began < 8
    part = folder / f"{IMAGES}.gz.part"
    monkeypatch.setattr(transfer, "DEADLINE", 30.0)
    have = part.stat().st_size if part.exists() else 0
    assert have >= 1000 if drip == "drip-body" else have == 0
    if drip == "drip-body":
        while any(thread.name == "download" for thread in threading.enumerate()):
            assert time.monotonic() - began < 8, "nobody is left listening to what nobody wants"
            time.sleep(0.01)
    assert have == 0 or part.read_bytes() == RIGHT[part.stem][:have]
    mirrors("good")
    assert_whole(load_data("mnist"))
    assert asked(server, "good")[0] == (IMAGES, f"bytes={have}-" if have else None)


def test_where_no_thread_can_be_started_the_message_says_so(folder, mirrors, monkeypatch):
    """As in a browser."""
    mirrors("good")
    monkeypatch.setattr(
        "threading._start_new_thread", lambda *args, **options: (_ for _ in ()).throw(RuntimeError("no"))
    )
    with pytest.raises(DataError, match=rf"{IMAGES}.gz \(no\)"):
        load_data("mnist")


def test_what_an_error_left_is_taken_up_again(server, folder, mirrors):
    mirrors("short")
    with pytest.raises(DataError, match="ended"):
        load_data("mnist")
    part = folder / f"{IMAGES}.gz.part"
    half = len(RIGHT[part.stem]) // 2
    assert part.read_bytes() == RIGHT[part.stem][:half]
    mirrors("good")
    assert_whole(load_data("mnist"))
    assert asked(server, "good")[0] == (IMAGES, f"bytes={half}-")


def test_half_from_one_mirror_and_half_from_the_next(server, folder, mirrors):
    mirrors("short", "good")
    assert_whole(load_data("mnist"))
    assert asked(server, "good") == [(name, f"bytes={len(RIGHT[f'{name}.gz']) // 2}-") for name in IDX_FILES.values()]


@pytest.mark.parametrize("second", ["no-ranges", "other-ranges", "repacked"])
def test_a_file_is_started_anew_where_it_cannot_be_resumed(server, folder, mirrors, second):
    """Two servers send the whole file whatever is asked; another's is packed otherwise, so that halves do not fit."""
    mirrors("short", second)
    assert_whole(load_data("mnist"))
    asks = [name for name, _ in asked(server, second)]
    assert set(asks) == set(IDX_FILES.values())
    if second == "no-ranges":
        assert len(asks) == 4, "a whole file that comes where a part was wanted is not asked for again"
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("left", [b"", b"rubbish", RIGHT[f"{IMAGES}.gz"], RIGHT[f"{IMAGES}.gz"] + b"more"])
@pytest.mark.parametrize("mirror", ["good", "no-ranges"])
def test_any_part_may_lie_there(folder, mirrors, left, mirror):
    folder.mkdir()
    (folder / f"{IMAGES}.gz.part").write_bytes(left)
    mirrors(mirror)
    assert_whole(load_data("mnist"))
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("damage", [b"", b"<!doctype html>", WRONG[f"{IMAGES}.gz"], RIGHT[f"{IMAGES}.gz"][:-9]])
def test_a_damaged_file_is_fetched_again_and_only_that_one(server, folder, mirrors, damage):
    mirrors("good")
    load_data("mnist")
    (folder / f"{IMAGES}.gz").write_bytes(damage)
    server.requests.clear()
    assert_whole(load_data("mnist"))
    assert asked(server, "good") == [(IMAGES, None)]


@pytest.mark.parametrize("packed", [True, False])
def test_files_put_there_by_hand_need_no_mirror(server, folder, mirrors, packed):
    mirrors("gone")
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / (name if packed else name.removesuffix(".gz"))).write_bytes(REPACKED[name] if packed else content)
    assert_whole(load_data("mnist"))
    assert server.requests == []
    assert ".lock" not in os.listdir(folder), "a folder that nobody may write into will do"


def test_the_embedded_digits_and_paths_stay_offline(server, folder, mirrors, tmp_path):
    mirrors("good")
    load_data("mnist-sample")
    np.save(tmp_path / "mine.npy", np.zeros((4, 3)))
    load_data(tmp_path / "mine.npy")
    with pytest.raises(DataError, match="data should be mnist-sample, mnist, fashion-mnist, or the path of"):
        load_data("emnist")
    assert server.requests == []
    assert not folder.exists()


def test_a_folder_that_is_a_file_is_refused(folder, mirrors, tmp_path, monkeypatch):
    mirrors("good")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"should be a folder to keep data in: .*; set SCRATCHVAE_DATA to another$"):
        load_data("mnist")


def test_where_data_are_kept(monkeypatch, tmp_path):
    for name in ("SCRATCHVAE_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    home = tmp_path / ".cache" / "scratchvae"
    assert download.data_folder() == home
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
    assert download.data_folder() == home
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert download.data_folder() == tmp_path / "cache" / "scratchvae"
    monkeypatch.setenv("SCRATCHVAE_DATA", "")
    assert download.data_folder() == tmp_path / "cache" / "scratchvae"
    monkeypatch.setenv("SCRATCHVAE_DATA", "~/data")
    assert download.data_folder() == tmp_path / "data"


# -- more than one process ---------------------------------------------------------------------------------------------

CHILD = """
import json, sys
from scratchvae import load_data
from scratchvae.data.sources import SOURCES, Source
mirrors, sha256 = json.loads(sys.argv[1])
SOURCES["mnist"] = Source(tuple(mirrors), 1, sha256)
print(load_data("mnist").x_train.sum())
"""


def start(server, *behaviours, **options):
    """Another process that loads the data set from these mirrors."""
    job = json.dumps([[f"{server.url}/{b}/" for b in behaviours], SHA256])
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, job], stdout=options.pop("stdout", subprocess.PIPE), **options
    )


def test_two_processes_at_once(server, folder):
    both = [start(server, "slow") for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == [b"%d\n" % ARRAYS["x_train"].sum()] * 2
    assert sorted(asked(server, "slow")) == [(name, None) for name in sorted(IDX_FILES.values())], "fetched once"
    assert sorted(file.name for file in folder.iterdir()) == sorted([".lock", *RIGHT])


def test_a_killed_process_leaves_a_part_and_no_lock(server, folder, mirrors):
    part = folder / f"{IMAGES}.gz.part"
    with start(server, "slow") as process:
        until = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size) and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    assert process.returncode != 0
    assert not (folder / f"{IMAGES}.gz").exists()
    have = part.stat().st_size
    assert 0 < have < len(RIGHT[part.stem])
    mirrors("good")
    assert_whole(load_data("mnist"))
    assert asked(server, "good")[0] == (IMAGES, f"bytes={have}-")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_sees_a_progress_bar(server, folder):
    import fcntl
    import pty
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # lines, columns
    with start(server, "good", stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        shown = b""
        while chunk := read_terminal(reader):
            shown += chunk
        assert process.stderr.read() == b""
    os.close(reader)
    for name in IDX_FILES.values():
        assert re.search(rb"\r%b: 100%%\|" % name.encode(), shown), shown


def read_terminal(reader):
    try:
        return os.read(reader, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""


# -- the command line --------------------------------------------------------------------------------------------------


def listed(capsys):
    """The listing: name -> state, and the rest of its line."""
    assert main(["data"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return {line.split()[0]: line for line in out.splitlines() if line}


def test_the_command_lists_and_fetches(server, folder, mirrors, capsys):
    mirrors("good")
    lines = listed(capsys)
    assert list(lines)[:4] == ["name", "mnist-sample", "mnist", "fashion-mnist"]
    assert re.fullmatch(r"mnist-sample +10,000 \+ 2,000 +2 MB +ready +inside the package", lines["mnist-sample"])
    assert re.fullmatch(rf"mnist +60,000 \+ 10,000 +1 MB +not here +{folder}", lines["mnist"])
    assert server.requests == []
    assert not folder.exists(), "listing writes nothing"

    assert main(["data", "mnist"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "mnist: 300 + 20 images of 28 x 28, verified",
        f"in {folder}; train on it with: python -m scratchvae train --data mnist",
    ]
    assert re.search(rf" verified +{folder}$", listed(capsys)["mnist"])

    (folder / f"{IMAGES}.gz").write_bytes(b"damaged")
    (folder / f"{IDX_FILES['y_test']}.gz").unlink()
    assert f" 2 of 4 files, damaged: {IMAGES}  " in listed(capsys)["mnist"]
    assert main(["data", "mnist"]) == 0
    assert " verified " in listed(capsys)["mnist"]


def test_the_command_fails_with_one_line(server, folder, mirrors, capsys):
    mirrors("gone")
    assert main(["data", "mnist"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"scratchvae data: {IMAGES}.gz should come from .* into {folder} yourself\n", err)
    with pytest.raises(SystemExit, match="2"):
        main(["data", "emnist"])
    assert re.fullmatch(
        r"scratchvae data: argument NAME: invalid choice: 'emnist' \(.*mnist.*\); see .*\n", capsys.readouterr().err
    )


# -- the real files ----------------------------------------------------------------------------------------------------


@needs_real_files
def test_the_real_mnist(monkeypatch):
    monkeypatch.setitem(SOURCES, "mnist", SOURCES["mnist"]._replace(mirrors=()))
    data, sample = load_data("mnist"), load_data("mnist-sample")
    assert (data.x_train.shape, data.x_test.shape, data.image_shape) == ((60000, 784), (10000, 784), (28, 28))
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.y_train).tolist() == counts
    for part, n in (("train", 1000), ("test", 200)):
        x, y = make_sample.first_of_each_class(getattr(data, f"x_{part}"), getattr(data, f"y_{part}"), n)
        assert np.array_equal(x, getattr(sample, f"x_{part}"))
        assert np.array_equal(y, getattr(sample, f"y_{part}"))


@needs_real_files
def test_a_real_file_with_one_other_pixel_is_not_accepted(monkeypatch, tmp_path):
    name = IDX_FILES["x_test"]
    content = bytearray(gzip.decompress((REAL / f"{name}.gz").read_bytes()))
    (tmp_path / name).write_bytes(content)
    assert download.verified(name, tmp_path, SOURCES["mnist"]).shape == (10000, 28, 28)
    content[5_000_000] ^= 1
    (tmp_path / name).write_bytes(content)
    assert download.verified(name, tmp_path, SOURCES["mnist"]) is None
