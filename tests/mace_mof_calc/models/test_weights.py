import contextlib
import dataclasses
import errno
import hashlib
import http.server
import io
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pooch
import pytest

from mace_mof_calc.errors import UnknownModelError, WeightsError
from mace_mof_calc.models import weights
from mace_mof_calc.models.cards import CARDS
from mace_mof_calc.models.weights import compute_digest, fetch, find, resolve


def make_archive():
    """Return a file of the layout that PyTorch writes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", bytes(range(256)) * 400)
    return buffer.getvalue()


GOOD = make_archive()
DIGEST = "git-blob:" + hashlib.sha1(b"blob %d\0" % len(GOOD) + GOOD).hexdigest()
HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves what the tests ask for; as a proxy, remembers the addresses asked for."""

    def do_GET(self):
        self.server.requests.append(self.path)
        name = self.path.rsplit("/", 1)[-1]
        if name == "absent":
            self.send_error(404)
            return
        body = HTML if name == "html" else GOOD[::-1] if name == "other" else GOOD
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1000])
        if name == "slow":
            time.sleep(0.5)
        if name != "truncated":
            self.wfile.write(body[1000:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.requests = []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def registry(cache, monkeypatch):
    """Cards whose digest is that of the served file; no proxy, no folder of models."""
    cards = {**CARDS, "mof0": dataclasses.replace(CARDS["mof0"], digest=DIGEST)}
    for module in ("mace_mof_calc.models.weights", "mace_mof_calc.models.cards"):
        monkeypatch.setattr(f"{module}.CARDS", cards)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        for variable in (name, name.upper()):
            monkeypatch.delenv(variable, raising=False)


def files(directory):
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def test_git_blob_digest(tmp_path):
    (tmp_path / "empty").touch()
    assert compute_digest(tmp_path / "empty", "git-blob") == "git-blob:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    (tmp_path / "good").write_bytes(GOOD)
    assert compute_digest(tmp_path / "good", "git-blob") == DIGEST
    assert compute_digest(tmp_path / "good", "sha256") == f"sha256:{hashlib.sha256(GOOD).hexdigest()}"


def test_git_agrees_on_the_digest(tmp_path):
    (tmp_path / "good").write_bytes(GOOD)
    try:
        done = subprocess.run(["git", "hash-object", tmp_path / "good"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    assert f"git-blob:{done.stdout.strip()}" == DIGEST


def test_fetch(server, cache, capfd):
    path = fetch("mof0", progress=False, url=f"{server.url}/good")
    assert path == cache / "mofs_v1.model"
    assert path.read_bytes() == GOOD
    assert files(cache) == ["mofs_v1.model"]
    assert capfd.readouterr() == ("", "")


def test_fetch_draws_a_progress_bar_on_standard_error(server, cache, capfd):
    fetch("mof0", url=f"{server.url}/good")
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err
    assert "Downloading" not in err


def test_second_fetch_needs_no_network(server, cache):
    for _ in range(2):
        fetch("mof0", progress=False, url=f"{server.url}/good")
    assert len(server.requests) == 1


def test_wrong_file_in_the_cache_is_replaced(server, cache):
    cache.mkdir(parents=True)
    (cache / "mofs_v1.model").write_bytes(b"half of it")
    assert fetch("mof0", progress=False, url=f"{server.url}/good").read_bytes() == GOOD


def test_part_of_a_file_without_a_published_digest_is_replaced(server, cache):
    cache.mkdir(parents=True)
    (cache / "mace_agnesi_medium.model").write_bytes(GOOD[:-100])
    for _ in range(2):
        assert fetch("mp-0b", progress=False, url=f"{server.url}/good").read_bytes() == GOOD
    assert len(server.requests) == 1


def test_card_of_the_registry_has_the_address(server, cache, monkeypatch):
    cards = {"mof0": dataclasses.replace(weights.CARDS["mof0"], url=f"{server.url}/good")}
    monkeypatch.setattr("mace_mof_calc.models.cards.CARDS", cards)
    monkeypatch.setattr("mace_mof_calc.models.weights.CARDS", cards)
    assert resolve("mof0") == cache / "mofs_v1.model"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("other", rf"not the published one.*Expected {DIGEST}, found git-blob:[0-9a-f]{{40}} \({len(GOOD)} bytes\)"),
        ("html", r"Expected git-blob:.*It is a web page"),
        ("truncated", r"could not be fetched.*IncompleteRead"),
        ("absent", "404"),
    ],
)
def test_bad_answer_leaves_nothing_in_the_cache(what, message, server, cache):
    with pytest.raises(WeightsError, match=message):
        fetch("mof0", progress=False, url=f"{server.url}/{what}")
    assert files(cache) == []


def test_web_page_is_noticed_without_a_digest(server, cache):
    with pytest.raises(WeightsError, match=r"Expected a file written by PyTorch.*web page"):
        fetch("mp-0b", progress=False, url=f"{server.url}/html")
    assert files(cache) == []
    assert fetch("mp-0b", progress=False, url=f"{server.url}/good").read_bytes() == GOOD


def test_no_network_says_what_to_do(cache):
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/mofs_v1.model"
    with pytest.raises(WeightsError) as caught:
        fetch("mof0", progress=False, url=url)
    message = str(caught.value)
    target = cache / "mofs_v1.model"
    assert f"from {url} to {target}" in message
    assert f"curl --location --fail --output mofs_v1.model {url}" in message
    assert f"copy the file to {target}" in message
    assert files(cache) == []


class FullDisk:
    """A file that takes some bytes and then has no room."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, block):
        if len(block) > self.room:
            self.file.write(block[: self.room])
            self.file.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= len(block)
        return self.file.write(block)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_full_disk(server, cache, monkeypatch):
    lengths = []

    def transfer(self, url, output_file, pooch, check_only=False):
        with Path(output_file).open("wb") as file:
            try:
                return original(self, url, FullDisk(file, 5000), pooch, check_only)
            finally:
                lengths.append(Path(output_file).stat().st_size)

    original = pooch.HTTPDownloader.__call__
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", transfer)
    with pytest.raises(WeightsError, match="The disk is full"):
        fetch("mof0", progress=False, url=f"{server.url}/good")
    assert lengths == [5000]
    assert server.requests == ["/good"]
    assert files(cache) == []


def test_cache_that_cannot_be_made(server, cache):
    cache.parent.mkdir()
    cache.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match=f"cannot be written.*{weights.MODELS_VARIABLE}"):
        fetch("mof0", progress=False, url=f"{server.url}/good")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_read_only_cache(server, cache):
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch("mof0", progress=False, url=f"{server.url}/good")


def test_read_only_cache_for_any_user(server, cache, monkeypatch):
    def fail(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(pooch.core, "make_local_storage", fail)
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch("mof0", progress=False, url=f"{server.url}/good")


def test_proxy_is_used(server, cache, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    assert fetch("mof0", progress=False, url="http://weights.invalid/good").read_bytes() == GOOD
    assert server.requests == ["http://weights.invalid/good"]


FETCHER = """
import dataclasses, pathlib, sys
from mace_mof_calc.models import cards, weights
weights.cache_directory = lambda: pathlib.Path(sys.argv[1])
cards.CARDS = weights.CARDS = {"mof0": dataclasses.replace(cards.CARDS["mof0"], digest=sys.argv[3])}
print("ready", flush=True)
sys.stdin.readline()
print(weights.fetch("mof0", progress=False, url=sys.argv[2]).stat().st_size)
"""


def test_processes_that_fetch_at_once(server, cache):
    command = [sys.executable, "-c", FETCHER, str(cache), f"{server.url}/slow", DIGEST]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=60) for process in processes]
    assert outcomes == [(f"{len(GOOD)}\n", "")] * 2
    assert files(cache) == ["mofs_v1.model"]
    assert len(server.requests) == 2


def test_order_of_the_places(cache, tmp_path, monkeypatch):
    assert find("mof0") is None
    cache.mkdir(parents=True)
    (cache / "mofs_v1.model").write_bytes(GOOD)
    assert resolve("mof0") == cache / "mofs_v1.model"
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv(weights.MODELS_VARIABLE, str(folder))
    assert resolve("mof0") == cache / "mofs_v1.model"
    (folder / "mofs_v1.model").write_bytes(GOOD)
    assert resolve("mof0") == folder / "mofs_v1.model"
    (tmp_path / "mine.model").write_bytes(b"anything")
    assert resolve(tmp_path / "mine.model") == tmp_path / "mine.model"


def test_file_in_a_folder_of_models_is_verified(tmp_path, monkeypatch):
    monkeypatch.setenv(weights.MODELS_VARIABLE, str(tmp_path))
    (tmp_path / "mofs_v1.model").write_bytes(GOOD + b"!")
    with pytest.raises(WeightsError, match=f"Expected {DIGEST}, found git-blob:"):
        resolve("mof0")


def test_without_leave_to_fetch(cache):
    with pytest.raises(WeightsError, match=r"not on this machine.*mace-mof fetch mof0"):
        resolve("mof0", allow_fetch=False)


def test_unknown_model():
    for function in (resolve, fetch, find):
        with pytest.raises(UnknownModelError, match="Did you mean 'mof0'"):
            function("mof1")


def test_default_cache_is_that_of_the_user(monkeypatch):
    monkeypatch.undo()
    assert weights.cache_directory().parts[-2:] == ("mace-mof-calc", "models") or os.name == "nt"
