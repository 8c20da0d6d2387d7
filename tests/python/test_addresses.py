"""Addresses of checkpoints: downloaded once, whole and checked, from a server on this machine."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import shutil
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tqdm import tqdm

from d2deploy.checkpoint import addresses, load_checkpoint
from d2deploy.checkpoint.addresses import local_file
from d2deploy.errors import Error, InvalidArgument, InvalidModel, Unsupported

DATA = bytes(range(256)) * 5000
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves DATA, well or badly by the name that is asked for."""

    requests: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.requests[self.path] += 1
        name = self.path.rpartition("/")[2]
        if name.startswith("none"):
            self.send_error(404)
            return
        if name.startswith("moved"):
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname" if "file" in name else "/good.pkl")
            self.end_headers()
            return
        length = {"short.pkl": len(DATA) + 10, "huge.pkl": 10**17, "digits.pkl": "9" * 60000}.get(name, len(DATA))
        self.send_response(200)
        if name != "unknown_length.pkl":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(DATA)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache; no proxy stands between, and nobody waits long."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(addresses, "TIMEOUT_SECONDS", 5.0)
    monkeypatch.setenv("D2DEPLOY_CACHE", str(tmp_path / "cache"))
    Handler.requests.clear()
    return tmp_path / "cache"


def files_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    "name", ["a/good.pkl", "unknown_length.pkl", "moved.pkl", "digits.pkl", "a%20b/good.pkl?x=1&y=/z"]
)
def test_a_download_happens_once(server: str, cache: Path, name: str) -> None:
    file = local_file(f"{server}/{name}")
    assert file.read_bytes() == DATA
    assert files_in(cache) == [file]
    Handler.requests.clear()
    assert local_file(f"{server}/{name}") == file
    assert not Handler.requests


def test_addresses_of_the_zoo(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert addresses.ZOO == "https://dl.fbaipublicfiles.com/detectron2/"
    monkeypatch.setattr(addresses, "ZOO", f"{server}/detectron2/")
    name = f"COCO-Detection/x_1x/123/model_final_{MD5[:6]}.pkl"
    file = local_file(f"detectron2://{name}")
    assert file == cache / "detectron2" / name
    assert Handler.requests == {f"/detectron2/{name}": 1}
    assert local_file("detectron2://model_final.pkl").read_bytes() == DATA  # no digits, no check


def test_the_digits_in_a_name_are_checked(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "ZOO", f"{server}/")
    with pytest.raises(
        InvalidModel, match=rf"is damaged: its MD5 is {MD5}, but begins with 000000 by its name; try again"
    ):
        local_file("detectron2://a/model_final_000000.pkl")
    assert not files_in(cache)
    assert local_file(f"{server}/model_final_000000.pkl").read_bytes() == DATA  # not of the zoo


FAILURES: dict[str, tuple[type[Error], str]] = {
    "none.pkl": (
        InvalidArgument,
        r"cannot download http://.*/none.pkl: the server answers 404 .*give the path of the file",
    ),
    "short.pkl": (InvalidModel, r"short.pkl came incomplete: 1280000 of 1280010 bytes; try again"),
    "huge.pkl": (InvalidArgument, r"has 100000000000000000 bytes, and .* has room for \d+; set D2DEPLOY_CACHE"),
    "moved_file.pkl": (InvalidArgument, r"cannot download .*moved_file.pkl: .*give the path of the file"),
    "a/../../b.pkl": (InvalidArgument, r"'a/../../b.pkl' is not the address of a file"),
    "": (InvalidArgument, r"'' is not the address of a file"),
    "folder/": (InvalidArgument, r"'folder/' is not the address of a file"),
    "x" * 300 + ".pkl": (
        InvalidArgument,
        r"cannot keep .*File name too long; set D2DEPLOY_CACHE to another folder, or download",
    ),
}


@pytest.mark.parametrize("name", FAILURES, ids=lambda name: name[:20])
def test_failures_leave_nothing_behind(name: str, server: str, cache: Path) -> None:
    error, message = FAILURES[name]
    with pytest.raises(error, match=message):
        local_file(f"{server}/{name}")
    assert not files_in(cache)


def test_more_than_is_allowed(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "MAX_BYTES", 1000)
    with pytest.raises(InvalidArgument, match=r"unknown_length.pkl has more than 1000 bytes"):
        local_file(f"{server}/unknown_length.pkl")
    assert not files_in(cache)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:1/a.pkl", "Connection refused"),
        ("http://no-such-host.invalid/a.pkl", ".*"),
        ("http://127.0.0.1:port/a.pkl", "nonnumeric port"),
        ("http://[x/a.pkl", ".*"),
    ],
)
def test_without_a_network(address: str, reason: str, cache: Path) -> None:
    with pytest.raises(InvalidArgument, match=f"cannot download .*: .*{reason}.*; check the network, or download it"):
        local_file(address)
    assert not files_in(cache)


def test_a_server_that_falls_silent(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "TIMEOUT_SECONDS", 0.2)
    message = r"cannot download .*timed out; check the network"
    with (
        http.server.HTTPServer(("127.0.0.1", 0), Handler) as silent,  # takes connections, never answers
        pytest.raises(InvalidArgument, match=message),
    ):
        local_file(f"http://127.0.0.1:{silent.server_port}/a.pkl")
    assert not files_in(cache)


def test_a_disk_that_is_full(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(InvalidArgument, match=r"cannot keep .*: No space left on device; set D2DEPLOY_CACHE"):
            local_file(f"{server}/good.pkl")
    assert not files_in(cache)
    shutil.rmtree(cache)
    cache.write_text("a file")
    with pytest.raises(InvalidArgument, match=r"cannot keep .*(exists|Not a directory); set D2DEPLOY_CACHE"):
        local_file(f"{server}/good.pkl")


def test_an_interrupted_download_leaves_nothing(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(addresses, "_receive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        local_file(f"{server}/good.pkl")
    assert not files_in(cache)


def test_a_progress_bar_is_shown(
    server: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    local_file(f"{server}/good.pkl")
    assert capfd.readouterr().err == ""  # not into files and pipes
    monkeypatch.setattr(addresses, "tqdm", lambda **options: tqdm(**{**options, "disable": False}))
    local_file(f"{server}/other/good.pkl")
    assert "good.pkl: 100%" in capfd.readouterr().err


@pytest.mark.parametrize(
    "address",
    ["detectron2://ImageNetPretrained/MSRA/R-50.pkl", "catalog://ImageNetPretrained/FAIR/R-50-GN"],
)
def test_backbones_are_refused_before_they_are_downloaded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", pytest.fail)
    with pytest.raises(Unsupported, match=r"is a backbone to start training from, and no detector; set MODEL.WEIGHTS"):
        load_checkpoint(address)


@pytest.mark.parametrize("address", ["s3://bucket/a.pkl", "file:///etc/passwd", "catalog://Caffe2Detectron/COCO/x"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(InvalidArgument, match="addresses begin with detectron2://, https:// or http://, or are paths"):
        local_file(address)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a.b": torch.ones(2)}, tmp_path / "a.pth")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_file("~/a.pth") == tmp_path / "a.pth"
    assert load_checkpoint(tmp_path / "a.pth")["a.b"].tolist() == [1, 1]
    for path, reason in {
        str(tmp_path / "none.pth"): "no such file",
        str(tmp_path): "it is a folder",
        "x" * 5000: "File name too long",
    }.items():
        with pytest.raises(InvalidArgument, match=f"no checkpoint .*: {reason}$"):
            local_file(path)


def test_the_cache_lies_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("D2DEPLOY_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert addresses.cache_folder() == tmp_path / ".cache/d2deploy"
