"""The scripts explain themselves, and what the documents tell a reader to run is there."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

import d2deploy

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*sorted(f for f in (ROOT / "scripts").iterdir() if f.is_file() and not f.suffix), ROOT / ".ci/run"]
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/deployment.md"]


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, cwd=cwd)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.name)
def test_help_names_the_script(script: Path, tmp_path: Path) -> None:
    result = run(script, "--help", cwd=tmp_path)  # from elsewhere
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"Usage: {script.relative_to(ROOT)}")
    assert len(result.stdout.splitlines()) >= 3
    assert "#" not in result.stdout


@pytest.mark.parametrize(
    "name",
    [
        "setup",
        "test",
        "test_arm64",
        "test_cuda",
        "build_dependencies",
        "build_wheels",
        "check_deployment",
        "check_wheels",
        "demo",
        "fuzz",
        "tidy",
    ],
)
def test_unknown_option_is_refused(name: str) -> None:
    result = run(ROOT / "scripts" / name, "--no-such-option")
    assert result.returncode == 1
    assert re.search(r"error: unknown (option|argument) '--no-such-option'; scripts/\w+ --help", result.stderr)


def test_demo_names_the_image_that_is_missing(tmp_path: Path) -> None:
    result = run(ROOT / "scripts/demo", "nowhere.png", cwd=tmp_path)
    assert result.returncode == 1
    assert f"error: cannot read the image {tmp_path / 'nowhere.png'}" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-DD2DEPLOY_CUDA=maybe"], "is 'maybe', must be OFF, ON or EMULATED"),
        (
            ["-DD2DEPLOY_CUDA=ON", "-DD2DEPLOY_NVCC=OFF", "-DD2DEPLOY_CUDNN_INCLUDE=OFF"],  # as where none is found
            "but there is no nvcc (OFF), or no header of cuDNN (OFF). Run scripts/setup --cuda, or install",
        ),
    ],
)
def test_build_for_gpus_is_refused(options: list[str], message: str) -> None:
    result = run("cmake", *options, "-P", ROOT / "cpp/cmake/cuda.cmake")
    assert result.returncode == 1
    assert message in " ".join(result.stderr.split())


def fenced_commands(document: str) -> list[str]:
    """First words of the lines of a document's shell blocks that lie in this repository."""
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    words = [re.sub(r"^\$ ", "", line).split(" ")[0] for block in blocks for line in block.splitlines() if line]
    return [word for word in words if word.startswith(("scripts/", ".ci/"))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_the_documents_exist(document: str) -> None:
    commands = fenced_commands(document)
    assert commands
    for command in commands:
        assert (ROOT / command).is_file(), f"{document} says {command}"
        assert (ROOT / command).stat().st_mode & 0o111, f"{command} has no run bit"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_of_the_documents_exist(document: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / document).read_text())
    assert links
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"one\ntwo", "must end in a newline"),
        (b"one\n\n", "must not end in an empty line"),
        (b"one \ntwo\n", ":1: must not end in white space"),
        (b"one\ntwo\r\n", ":2: must not end in white space"),
    ],
)
def test_check_text_finds(tmp_path: Path, text: bytes, message: str) -> None:
    file = tmp_path / "file.txt"
    file.write_bytes(text)
    result = run(sys.executable, ROOT / "scripts/check_text", file)
    assert result.returncode == 1
    assert result.stdout.count("\n") == 1
    assert message in result.stdout


@pytest.mark.parametrize("text", [b"", b"one\n", b"one\n\ntwo\n"])
def test_check_text_passes(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "file.txt"
    file.write_bytes(text)
    result = run(sys.executable, ROOT / "scripts/check_text", file)
    assert (result.returncode, result.stdout) == (0, "")


def test_version_is_text() -> None:
    # From the installed package's metadata, or, in the source tree, a mark that there is none.
    assert re.fullmatch(r"\d+\.\d+\.\d+|0\+source", d2deploy.__version__)


def test_importing_the_package_needs_numpy_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import d2deploy; "
        "print(*{m.split('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names - {'d2deploy', 'numpy'})"
    )
    command = f"import sys; sys.path.insert(0, {str(ROOT / 'python')!r}); {code}"
    result = run(sys.executable, "-c", command)
    assert (result.returncode, result.stdout) == (0, "\n"), result.stderr


SHARED = "#include <vector>\nstd::vector<int> numbers{avx512}() {{ return std::vector<int>(3); }}\n"
FUSED = "float area_of(float w, float h, float other) { return w * h + other; }\n"


def objects_fault(folder: Path, source: str, text: str, *options: str) -> str:
    """What check_objects says about the object of one source."""
    (folder / source).parent.mkdir()
    (folder / source).write_text(text)
    target = f"{folder}/{source}.o"
    compiled = run("c++", "-c", *options, folder / source, "-o", target)
    assert compiled.returncode == 0, compiled.stderr
    result = run(sys.executable, ROOT / "scripts/check_objects", target)
    assert result.returncode == (1 if result.stdout else 0), result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("source", "text", "message"),
    [
        ("kernels/sum_avx512.cpp", SHARED.format(avx512="_avx512"), "is weak: the linker may take it"),
        ("kernels/sum_avx512.cpp", "int sum(int a, int b) { return a + b; }\n", "'sum(int, int)' must have avx512"),
        ("kernels/sum_avx512.cpp", "int sum_avx512(int a, int b) { return a + b; }\n", ""),
        ("kernels/sum.cpp", SHARED.format(avx512=""), ""),
    ],
)
def test_check_objects_finds_what_is_shared(tmp_path: Path, source: str, text: str, message: str) -> None:
    found = objects_fault(tmp_path, source, text, "-O0")
    assert message in found
    assert bool(message) == bool(found)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the options are for x86-64")
def test_check_objects_finds_what_is_fused(tmp_path: Path) -> None:
    found = objects_fault(tmp_path, "kernels/boxes.cpp", FUSED, "-O2", "-mfma", "-ffp-contract=fast")
    assert re.search(r"boxes\.cpp\.o: holds vfmadd\d+ss, which rounds", found)
    target = str(tmp_path / "kernels/boxes.cpp.o")
    allowed = run(sys.executable, ROOT / "scripts/check_objects", "--contracted", "kernels/boxes.cpp", target)
    assert (allowed.returncode, allowed.stdout) == (0, "")


def test_check_objects_passes_what_is_not_fused(tmp_path: Path) -> None:
    assert objects_fault(tmp_path, "kernels/boxes.cpp", FUSED, "-O2", "-ffp-contract=off") == ""
