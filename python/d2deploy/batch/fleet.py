"""A job on a cluster of Ray: each row of a data set is a block, actors with the model make the parts."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import ray
import ray.data

from d2deploy import errors
from d2deploy.batch.entries import Block
from d2deploy.batch.job import Job, Listing, predict_blocks
from d2deploy.batch.output import Output
from d2deploy.batch.workers import Workers, lanes_on
from d2deploy.errors import DeviceError, Error

__all__ = ["Cluster", "predict_on_cluster"]

MOST_TASKS = 4000  # that the blocks are handed out in
LOOK_EVERY = 2.0  # seconds
REACHED_WITHIN = 10.0  # seconds
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Cluster:
    """Where actors run, and what each of them takes.

    Attributes:
        address: of the cluster, as `ray.init` has it; None: one of this machine alone, for this job.
        actors: most of them; 0: as many as the cluster has room for.
        threads: CPUs of an actor, and predictions at a time; 0: the CPUs of the smallest machine.
        device: "cpu", or "cuda": each actor has a GPU of its own.
        options: of `Detector` that decide how fast it is and how much memory it takes.
        object_store_bytes: memory for what is handed around, of a cluster that is started here; little is.
    """

    address: str | None = None
    actors: int = 0
    threads: int = 0
    device: str = "cpu"
    options: Mapping[str, Any] = field(default_factory=dict)
    object_store_bytes: int = 100_000_000


class _Place(NamedTuple):
    """Where a block stands in the plan, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class _Plan:
    """What an actor needs to know. The blocks stand in a file which all machines see: Ray keeps in memory what it hands
    around, and blocks of a hundred million pictures are better kept elsewhere."""

    job: Job
    identity: Mapping[str, Any]
    folder: str
    file: str

    def block(self, place: _Place) -> Block:
        with open(self.file, "rb") as file:
            file.seek(place.offset)
            return Block.from_json(file.read(place.size).decode())

    def stop(self, error: Error) -> None:
        """Tells, from any machine, what ends the job: beside the plan."""
        beside = Path(f"{self.file}.{uuid.uuid4().hex}")
        beside.write_text(json.dumps([type(error).__name__, str(error)]), encoding="utf-8")
        beside.replace(f"{self.file}.error")

    def check(self) -> None:
        """Raises what a machine told."""
        told = Path(f"{self.file}.error")
        if told.exists():
            kind, message = json.loads(told.read_text(encoding="utf-8"))
            error: type[Error] = getattr(errors, kind)
            raise error(message)


class _Actor:
    """The model on one machine. The folder of the job says what was done: answers may die with the machine."""

    def __init__(self, plan: _Plan, cluster: Cluster) -> None:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command `d2deploy` does
        self.plan, self.cluster = plan, cluster

    @cached_property
    def output(self) -> Output:
        return Output(Path(self.plan.folder), self.plan.identity)

    @cached_property
    def workers(self) -> Workers:
        job, cluster = self.plan.job, self.cluster
        options = {**job.detector, **cluster.options}
        return Workers(lanes_on([cluster.device], job.model, options, cluster.threads), job.threshold)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for place in map(_Place, batch["offset"].tolist(), batch["size"].tolist()):
            try:
                self.plan.check()
                block = self.plan.block(place)
                if not self.output.part(block).exists():  # by a machine of which nobody heard again
                    predict_blocks([block], self.workers, self.output.write, lambda _: None)
            except Error as error:
                self.plan.stop(error)
        return batch


def predict_on_cluster(listing: Listing, cluster: Cluster, done: Callable[[int, int], None]) -> int:
    """Predicts the blocks of a listing that lack their part, on all machines of a cluster.

    All machines must see the files of the model, the inputs and the output under the same paths. A machine that dies
    loses the blocks that it was at: they are handed out again, to those that are left.

    Args:
        listing: the blocks.
        cluster: where.
        done: is given the pictures and errors of each block that is finished.

    Returns:
        CPUs, or with a device "cuda" GPUs, that actors might take at the same time when it began.

    Raises:
        DeviceError: the cluster cannot be reached, has no room for an actor, or gets nothing done.
        Error: what stops a job elsewhere, too.
    """
    with _connected(cluster), _planned(listing) as (plan, left):
        threads, actors = _room(cluster)
        units = actors * (1 if cluster.device != "cpu" else threads)
        look = partial(_tell_done, plan, left, listing, done)
        while left:
            before, trouble = len(left), None
            try:
                _hand_out(plan, left, replace(cluster, threads=threads), actors, look)
            except Error:
                raise
            except Exception as error:  # of Ray, whose machines die in many ways
                trouble = error
            look()
            if len(left) == before:
                raise DeviceError(
                    f"the cluster of Ray did none of {before} blocks ({trouble or 'its actors died'}); the same "
                    "command goes on with them"
                ) from trouble
            if left:
                actors = _room(replace(cluster, threads=threads))[1]
    return units


def _tell_done(plan: _Plan, left: dict[str, _Place], listing: Listing, done: Callable[[int, int], None]) -> None:
    """Takes out of what is left the blocks that have their part, and tells them."""
    plan.check()
    for name in left.keys() & set(os.listdir(listing.output.parts)):
        counts = listing.output.counts_of(name)
        done(counts.pictures, counts.errors)
        del left[name]


def _hand_out(plan: _Plan, left: Mapping[str, _Place], cluster: Cluster, actors: int, look: Callable[[], None]) -> None:
    """Gives blocks to the actors of a cluster, and looks from time to time what is done."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # those of a machine that died are handed out again
    offsets, sizes = zip(*left.values())
    table = pa.table({"offset": offsets, "size": sizes})
    per_task = math.ceil(len(left) / MOST_TASKS)
    data = ray.data.from_arrow([table.slice(start, per_task) for start in range(0, len(left), per_task)])
    answers = data.map_batches(
        _Actor,
        fn_constructor_args=(plan, cluster),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
        num_cpus=cluster.threads,
        num_gpus=int(cluster.device != "cpu"),
    )
    looked = time.monotonic()
    # What the actors answer is not fetched: it may lie on a machine that is no longer there.
    for _ in answers.iter_internal_ref_bundles():
        if time.monotonic() - looked >= LOOK_EVERY:
            look()
            looked = time.monotonic()


@contextmanager
def _connected(cluster: Cluster) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # progress is told by us
    local: dict[str, Any] = {
        "include_dashboard": False,
        "object_store_memory": cluster.object_store_bytes,
        "_node_ip_address": LOOPBACK,  # whoever reaches Ray's ports can run what they like
    }
    try:
        if cluster.address and (place := re.fullmatch(r"([^/]+):(\d{1,5})", cluster.address)):
            # Ray itself would try for minutes, and end the process then.
            socket.create_connection((place[1], int(place[2])), timeout=REACHED_WITHIN).close()
        ray.init(
            address=cluster.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if cluster.address else local),
        )
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise DeviceError(f"--address {cluster.address}: no cluster of Ray answers there: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _planned(listing: Listing) -> Iterator[tuple[_Plan, dict[str, _Place]]]:
    """The blocks to do, in a file for the machines: the name of each part, and where its block stands."""
    output, shard = listing.output, listing.shard
    folder, name = output.unfinished.resolve(), f"plan-{shard.index}-of-{shard.count}"
    for killed in folder.glob(f"{name}.*"):  # of a process before us, whose lock we have
        killed.unlink(missing_ok=True)
    file = folder / f"{name}.{uuid.uuid4().hex}"
    places: dict[str, _Place] = {}
    try:
        with file.open("xb") as out:
            for block in listing.unfinished():
                # Machines have a current folder of their own.
                entries = tuple(entry._replace(file=os.path.abspath(entry.file)) for entry in block.entries)
                line = block._replace(entries=entries).to_json().encode()
                places[output.part(block).name] = _Place(out.tell(), len(line))
                out.write(line + b"\n")
        job = replace(listing.job, model=os.path.abspath(listing.job.model))
        yield _Plan(job, output.job, str(output.folder.resolve()), str(file)), places
    finally:
        for made in folder.glob(f"{file.name}*"):
            made.unlink(missing_ok=True)


def _room(cluster: Cluster) -> tuple[int, int]:
    """CPUs of an actor, and most actors.

    Raises:
        DeviceError: there is no room for one.
    """
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    machines = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if not machines:
        raise DeviceError("the cluster of Ray has no machine with CPUs")
    threads = cluster.threads or int(min(machine["CPU"] for machine in machines))
    room = [int(machine["CPU"] // threads) for machine in machines]
    if cluster.device != "cpu":
        room = [min(cpus, int(machine.get("GPU", 0))) for cpus, machine in zip(room, machines)]
    if not any(room):
        wanted = f"{threads} CPUs" + ("" if cluster.device == "cpu" else " and a GPU")
        raise DeviceError(f"no machine of the cluster of Ray has {wanted}, which an actor takes; give --threads")
    return threads, min(cluster.actors or sum(room), sum(room))
