"""examples/deployment: what stands in its files fits the server, the command line, and the systems they are for."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import ROOT

from d2deploy.cli import command
from d2deploy.errors import InvalidArgument, Unsupported
from d2deploy.serving.openapi import document
from d2deploy.serving.server import CLOSING_SECONDS
from deployment.dockerfile import parse

DEPLOYMENT = ROOT / "examples" / "deployment"
VERSIONS = ["1.30", "1.37"]  # the oldest Kubernetes that the files are for, and the newest that is known here

Object = dict[str, Any]


def arguments(words: list[str]) -> Any:
    """What the command line makes of the arguments of `d2deploy`; pytest fails where it refuses them."""
    return command.parser().parse_args(words)


# --- Dockerfile ------------------------------------------------------------------------------------------------------
def test_a_dockerfile_becomes_stages() -> None:
    text = """\
# a comment
FROM debian:12-slim AS build
ARG EXTRAS=serve
RUN one && \\
    # within a line
    two
COPY a.whl /wheels/

FROM debian:12-slim
COPY --from=build /opt /opt
ENV A=1 B=2
HEALTHCHECK --interval=10s CMD ["look", "at it"]
CMD ["first"]
CMD ["serve", "/model"]
"""
    build, last = parse(text)
    assert (build.base, build.name, last.name) == ("debian:12-slim", "build", "")
    assert [(i.keyword, list(i.words)) for i in build.instructions] == [
        ("ARG", ["EXTRAS=serve"]),
        ("RUN", ["one &&      two"]),
        ("COPY", ["a.whl", "/wheels/"]),
    ]
    assert last.instructions[0].options == {"from": "build"}
    assert last.last("HEALTHCHECK") == ["look", "at it"]
    assert last.last("CMD") == ["serve", "/model"]
    assert last.last("USER") == []


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("RUN a", InvalidArgument, "Dockerfile: RUN stands before FROM"),
        ("FROM a\nADD b c", Unsupported, "Dockerfile: ADD is not known; known: FROM, ARG, CMD"),
        ("FROM a\nCMD serve", Unsupported, "Dockerfile: CMD is run by a shell, which keeps signals to itself"),
    ],
)
def test_wrong_dockerfiles_are_refused(text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        parse(text)


def test_the_image_starts_a_server_that_is_not_root() -> None:
    image = parse((DEPLOYMENT / "Dockerfile").read_text())[-1]
    user, group = image.last("USER")[0].split(":")
    assert int(user) > 0
    assert int(group) > 0
    program, *words = [*image.last("ENTRYPOINT"), *image.last("CMD")]
    args = arguments(words)
    assert program == "d2deploy"
    assert (args.models, args.host) == (["/model"], "0.0.0.0")
    assert f":{args.port}/v2/health/ready" in image.last("HEALTHCHECK")[-1]
    assert image.last("EXPOSE") == [str(args.port), args.grpc_port]


def test_commands_in_the_files_name_this_version() -> None:
    files = [DEPLOYMENT / "Dockerfile", ROOT / "docs/deployment.md", *(DEPLOYMENT / "kubernetes").iterdir()]
    named = {name for file in files for name in re.findall(r"\bd2deploy:[0-9][\w.]*", file.read_text())}
    project = (ROOT / "pyproject.toml").read_text()
    assert named == {"d2deploy:" + version for version in re.findall(r'^version = "(.*)"$', project, re.MULTILINE)}


def test_a_server_that_loads_its_models_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    """The first process of a container gets no signal that it has no handler for."""
    program = (
        "import os, signal, sys; from d2deploy.cli import main; from d2deploy.serving.models import Repository\n"
        "Repository.load_all = lambda self: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main(['serve', sys.argv[1], '--port', '0', '--grpc-port', 'none']))"
    )
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False, timeout=60).returncode == 0


# --- systemd ---------------------------------------------------------------------------------------------------------
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOYMENT / "d2deploy.service")
    return parser


def test_the_unit_waits_until_the_server_has_drained() -> None:
    service = unit()["Service"]
    program, *words = shlex.split(service["ExecStart"])
    args = arguments(words)
    assert program == "/opt/d2deploy/bin/d2deploy"  # where the comment at the top installs it
    assert float(service["TimeoutStopSec"]) >= args.drain_seconds + CLOSING_SECONDS


def test_the_unit_keeps_the_server_in() -> None:
    service = unit()["Service"]
    assert {name: service[name] for name in ("DynamicUser", "NoNewPrivileges", "ProtectSystem", "ProtectHome")} == {
        "DynamicUser": "yes",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
    }
    assert service["CapabilityBoundingSet"] == ""
    assert service["MemoryDenyWriteExecute"] == "no"  # with it, oneDNN could not run what it compiles
    assert re.fullmatch(r"\d+G", service["MemoryMax"])


# --- Kubernetes ------------------------------------------------------------------------------------------------------
def objects(file: str) -> list[Object]:
    return list(yaml.safe_load_all((DEPLOYMENT / "kubernetes" / file).read_text()))


def of_kind(kind: str, file: str = "serve.yaml") -> Object:
    (found,) = [item for item in objects(file) if item["kind"] == kind]
    return found


def pod(item: Object) -> tuple[Object, Object]:
    """What a pod of it is, and its only container."""
    spec = item["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", ["serve.yaml", "batch.yaml"])
def test_objects_are_as_kubernetes_wants_them(file: str, version: str) -> None:
    """By the schemas of its API, in which nothing unknown may stand."""
    for item in objects(file):
        kubernetes_validate.validate(item, version, strict=True)


def test_a_misspelt_key_is_found() -> None:
    wrong = of_kind("Deployment")
    wrong["spec"]["template"]["spec"]["containers"][0]["readyness"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[0], strict=True)


def test_probes_ask_what_the_server_answers() -> None:
    _, container = pod(of_kind("Deployment"))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    args = arguments(container["args"])
    assert ports == {"http": args.port, "grpc": int(args.grpc_port)}
    probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert all(probe["path"] in document()["paths"] and probe["port"] == "http" for probe in probes.values())
    # A server that is busy, or ends, is not ready, but must not be killed.
    assert [probes[name]["path"].rpartition("/")[2] for name in probes] == ["live", "live", "ready"]


def test_a_pod_is_given_the_time_that_the_server_takes_to_end() -> None:
    spec, container = pod(of_kind("Deployment"))
    args = arguments(container["args"])
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    readiness = container["readinessProbe"]
    assert spec["terminationGracePeriodSeconds"] >= before + args.drain_seconds + CLOSING_SECONDS
    assert before >= readiness["periodSeconds"]


@pytest.mark.parametrize(("kind", "file"), [("Deployment", "serve.yaml"), ("Job", "batch.yaml")])
def test_pods_have_whole_cpus_and_no_rights(kind: str, file: str) -> None:
    spec, container = pod(of_kind(kind, file))
    resources = container["resources"]
    assert resources["requests"] == resources["limits"]
    assert (
        int(resources["limits"]["cpu"]) >= 1
    )  # a part of a CPU would be rounded up to a thread, which then has to wait
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_belongs_to_the_deployment_finds_it() -> None:
    deployment = of_kind("Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    service, scaler, budget = map(of_kind, ("Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"))
    _, container = pod(deployment)
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert {port["targetPort"] for port in service["spec"]["ports"]} == {port["name"] for port in container["ports"]}
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]  # the scaler alone decides
    assert scaler["spec"]["minReplicas"] > budget["spec"]["maxUnavailable"]


def test_the_job_has_as_many_shards_as_completions() -> None:
    job = of_kind("Job", "batch.yaml")["spec"]
    _, container = pod(of_kind("Job", "batch.yaml"))
    words = container["args"]
    assert job["completionMode"] == "Indexed"
    assert words[words.index("--shard") + 1] == f"auto/{job['completions']}"
    if "batch" not in command.parser().format_help():
        pytest.skip("d2deploy has no command batch")
    assert arguments(words).shard == f"auto/{job['completions']}"


def volumes() -> Iterator[tuple[str, Object]]:
    for kind, file in (("Deployment", "serve.yaml"), ("Job", "batch.yaml")):
        spec, container = pod(of_kind(kind, file))
        claimed = {volume["name"] for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            assert mount["name"] in claimed
            yield kind, mount


def test_models_cannot_be_changed_by_pods() -> None:
    models = [mount for _, mount in volumes() if mount["mountPath"] == "/models"]
    assert len(models) == 2
    assert all(mount["readOnly"] for mount in models)
