"""The command line of `d2deploy serve`: what is wrong is told before anything is loaded."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from conftest import Command

from d2deploy.cli.serve import LIMITS
from d2deploy.errors import InvalidArgument
from d2deploy.serving.settings import Limits, model_folders, read_token


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tls-cert", "a"], "only one is given"),
        (["--tls-key", "a"], "only one is given"),
        (["--port", 70000], "--port is 70000, must be from 0 to 65535"),
        (["--grpc-port", "-1"], "--grpc-port is -1, must be"),
        (["--grpc-port", "off"], "--grpc-port is off, must be"),
        (["--sessions", -1], "--sessions is -1, must be at least 0"),
        (["--sessions", 5000], "--sessions is 5000, must be at most 4096"),
        (["--queue", 1 << 63], "argument --queue: 9223372036854775808 is too large a number"),
        (["--max-batch", 0], "--max-batch is 0, must be from 1 to 64"),
        (["--threads", -1], "--threads is -1, must be at least 0"),
        (["--queue", -1], "--queue is -1, must be at least 0"),
        (["--max-body-bytes", 0], "--max-body-bytes is 0, must be at least 1"),
        (["--timeout", 0], "--timeout is 0, must be a number of seconds above 0"),
        (["--body-timeout", "nan"], "--body-timeout is nan, must be a number of seconds"),
        (["--token-file", "no/such/file"], "--token-file no/such/file: cannot be read: No such file"),
        (["--host", "a" * 300], "that is no name of a host; choose another --host"),
        (["--mode", "fast"], "invalid choice: 'fast'"),
    ],
)
def test_wrong_options(options: list[object], message: str, command: Command) -> None:
    code, out, err = command("serve", "model", *options)
    assert (code, out) == (1, "")
    assert message in err


def test_names_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert model_folders(["a/b", "c=d/e=f"]) == {"b": Path("a/b"), "c": Path("d/e=f")}
    assert list(model_folders(["."])) == [tmp_path.name]
    for words in (["a b=x"], ["=x"], ["../x/y=z"], ["é=x"], ["x" * 65 + "=x"], ["a?b"]):
        with pytest.raises(InvalidArgument, match="cannot be a model's name"):
            model_folders(words)
    with pytest.raises(InvalidArgument, match="two models of the name 'a'"):
        model_folders(["a=x", "y/a"])


def test_a_token(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("  0123456789abcdef\n")
    assert read_token(file) == b"0123456789abcdef"
    for text in ("", "short", "two words of a token", "é" * 20):
        file.write_text(text)
        with pytest.raises(InvalidArgument, match="one word of at least 16 printable ASCII characters"):
            read_token(file)


def test_each_limit_has_an_option() -> None:
    assert {field.name for field in fields(Limits)} == set(LIMITS)
