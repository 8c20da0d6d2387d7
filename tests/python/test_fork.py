"""Child processes run models whatever their parent ran: multiprocessing, forked or spawned, and preforking servers.

Each runs in an interpreter of its own, which a watchdog ends: what is wrong here hangs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT

pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")

SECONDS = 120  # a run takes less than one; processors are shared

COMMON = """
import os, sys
from pathlib import Path
import numpy as np
from d2deploy import _ext, errors

example = Path(sys.argv[1])

def load(threads):
    return _ext.Model(example / "model.pb", example / "model_init.pb", threads=threads)

def answer(model):
    data = np.random.default_rng(0).uniform(0, 255, (1, 3, 128, 160)).astype(np.float32)
    outputs = model.run({"data": data, "im_info": np.array([[128, 160, 1]], np.float32)})
    return b"".join(outputs[name].tobytes() for name in sorted(outputs))
"""


def run_script(example: Path, folder: Path, text: str) -> list[str]:
    script = folder / "script.py"
    script.write_text(COMMON + textwrap.dedent(text))
    command = [sys.executable, "-W", "error", str(script), str(example)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "python"), *sys.path])}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_pool_of_forked_processes(example: Path, tmp_path: Path) -> None:
    """The children run the model of their parent, which ran it before, and one of their own."""
    words = run_script(
        example,
        tmp_path,
        """
        import multiprocessing

        model = load(2)
        want = answer(model)

        def work(i):
            return answer(model if i % 2 else load(2)) == want

        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(*pool.map(work, range(4)))
        print(answer(model) == want)
        """,
    )
    assert words == ["True"] * 5


def test_spawned_processes(example: Path, tmp_path: Path) -> None:
    words = run_script(
        example,
        tmp_path,
        """
        import multiprocessing

        def work(i):
            return answer(load(2))

        if __name__ == "__main__":
            want = answer(load(2))
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                print(*(found == want for found in pool.map(work, range(2))))
        """,
    )
    assert words == ["True"] * 2


def test_preforking_server(example: Path, tmp_path: Path) -> None:
    """The parent loads and warms up, forks its workers and answers requests itself too; a worker that ends is replaced
    after the parent has run the model again."""
    words = run_script(
        example,
        tmp_path,
        """
        import socket

        model = load(2)
        want = answer(model)
        listener = socket.create_server(("127.0.0.1", 0))

        def fork_worker(requests):
            pid = os.fork()
            if pid == 0:
                for _ in range(requests):
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(b"same" if answer(model) == want else b"other")
                os._exit(0)
            return pid

        def request():
            with socket.create_connection(listener.getsockname()) as connection:
                return connection.recv(100).decode()

        workers = [fork_worker(2), fork_worker(2)]
        print(*(request() for _ in range(4)))
        for worker in workers:
            os.waitpid(worker, 0)
        assert answer(model) == want
        worker = fork_worker(1)
        print(request())
        os.waitpid(worker, 0)
        """,
    )
    assert words == ["same"] * 5


def test_threads_of_the_parent_stay_behind(example: Path, tmp_path: Path) -> None:
    """The parent runs the model in a pool of threads, and forks in another one."""
    words = run_script(
        example,
        tmp_path,
        """
        from concurrent.futures import ThreadPoolExecutor
        import warnings

        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        model = load(2)
        with ThreadPoolExecutor(2) as pool:
            want = answer(model)
            assert list(pool.map(lambda _: answer(model) == want, range(4))) == [True] * 4
            pid = os.fork()
            if pid == 0:
                print(answer(model) == want, flush=True)
                os._exit(0)
            os.waitpid(pid, 0)
            assert list(pool.map(lambda _: answer(model) == want, range(4))) == [True] * 4
        """,
    )
    assert words == ["True"]
