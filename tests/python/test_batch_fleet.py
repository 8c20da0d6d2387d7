"""A batch on a cluster of Ray, of two machines on this one: one of them dies, and nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from batch_jobs import rows_of, write_cuts
from conftest import ROOT, Command

if TYPE_CHECKING:
    from d2deploy import _ext
else:
    _ext = pytest.importorskip("d2deploy._ext", reason="not built: cmake --preset dev && cmake --build --preset dev")
    pytest.importorskip("ray.data", reason="not installed: pip install 'd2deploy[ray]'")

from d2deploy.batch import fleet
from d2deploy.batch.entries import Shard
from d2deploy.batch.fleet import Cluster, predict_on_cluster
from d2deploy.batch.inputs import Inputs
from d2deploy.batch.job import Job, Listing
from d2deploy.batch.output import Output
from d2deploy.errors import DeviceError

COUNT = 24
STORE_BYTES = 100_000_000
SIZES = {"min_size": 96, "max_size": 160, "precision": "float32"}
SMALL = ("--threads", 1, "--min-size", 96, "--max-size", 160, "--threshold", 0.1, "--block-size", 2)
# What Ray and its parts warn of by themselves.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cuts(tmp_path_factory.mktemp("pictures"), COUNT, damaged=5)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two machines of one CPU each; their processes find the package that is tested here."""
    from ray.cluster_utils import Cluster as LocalCluster

    path = os.pathsep.join([str(ROOT / "python"), str(Path(_ext.__file__).parents[1])])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    options = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    local: Any = LocalCluster(initialize_head=True, head_node_args=options)
    try:
        local.second = local.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        local.wait_for_nodes()
        yield local
    finally:
        local.shutdown()


def test_a_machine_dies_and_nothing_is_lost(
    cluster: Any,
    command: Command,
    example: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "out"
    inputs = [str(pictures)]
    job = Job(str(example), Inputs(inputs), 2, 0.1, SIZES)
    output = Output(folder, job.identity())
    done: list[tuple[int, int]] = []

    monkeypatch.setattr(fleet, "LOOK_EVERY", 0.0)  # to see the first blocks while others are done

    def kill_one_in_the_middle(blocks_pictures: int, errors: int) -> None:
        done.append((blocks_pictures, errors))
        if len(done) == 1:
            cluster.remove_node(cluster.second, allow_graceful=False)

    listing = Listing(job, output, Shard())
    units = predict_on_cluster(listing, Cluster(cluster.address, threads=1), kill_one_in_the_middle)
    assert units == 2
    assert len(cluster.worker_nodes) == 0
    assert len(done) == COUNT // 2
    assert (sum(d[0] for d in done), sum(d[1] for d in done)) == (COUNT, 1)
    output.write_report(Shard(), {})
    # The command, on what is left of the cluster, has nothing to do, and says the same.
    arguments = ("batch", example, pictures, "--output", folder, *SMALL)
    code, told, error = command(*arguments, "--engine", "ray", "--address", cluster.address)
    assert (code, error) == (1, "")
    assert f"{COUNT} of {COUNT} pictures were done before, 1 of them with an error" in told
    command(*arguments[:3], "--output", tmp_path / "one", *SMALL)
    assert rows_of(folder) == rows_of(tmp_path / "one")
    assert not list((folder / "unfinished").glob("plan-*"))


def test_the_command_on_a_cluster(
    cluster: Any, command: Command, example: Path, pictures: Path, tmp_path: Path
) -> None:
    """Only blocks that lack a part are handed out; relative paths mean the folder of who gave them."""
    folder = tmp_path / "out"
    arguments = ("batch", os.path.relpath(example), os.path.relpath(pictures), "--output", folder, *SMALL)
    ray = ("--engine", "ray", "--address", cluster.address, "--actors", 2)
    assert command(*arguments, *ray)[0] == 1
    kept = sorted((folder / "parts").iterdir())
    times = {part: part.stat().st_mtime_ns for part in kept[1:]}
    kept[0].unlink()
    code, told, _ = command(*arguments, *ray)
    assert code == 1
    assert "2 pictures in " in told
    assert {part: part.stat().st_mtime_ns for part in sorted((folder / "parts").iterdir())[1:]} == times
    command(*arguments[:3], "--output", tmp_path / "one", *SMALL)
    assert rows_of(folder) == rows_of(tmp_path / "one")
    code, _, error = command(*arguments[:3], "--output", tmp_path / "no", *SMALL, *ray, "--threads", 3)
    assert code == 3
    assert "no machine of the cluster of Ray has 3 CPUs" in error


def test_what_stops_a_job_elsewhere_stops_it_on_a_cluster(
    cluster: Any, command: Command, example: Path, pictures: Path, tmp_path: Path
) -> None:
    arguments = ("batch", example, pictures, "--output", tmp_path / "out", *SMALL, "--input-format", "HSV")
    code, _, error = command(*arguments, "--engine", "ray", "--address", cluster.address)
    here = command("batch", example, pictures, "--output", tmp_path / "one", *SMALL, "--input-format", "HSV")
    assert (code, error) == (here[0], here[2])
    assert code == 1


def test_a_cluster_that_is_not_there(example: Path, pictures: Path, tmp_path: Path) -> None:
    job = Job(str(example), Inputs([str(pictures)]), 2, 0.1, SIZES)
    listing = Listing(job, Output(tmp_path / "out", job.identity()), Shard())
    with pytest.raises(DeviceError, match=r"--address 127\.0\.0\.1:1: no cluster of Ray answers there"):
        predict_on_cluster(listing, Cluster("127.0.0.1:1"), lambda *_: None)
