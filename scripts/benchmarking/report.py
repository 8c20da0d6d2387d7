"""What was measured as a table in Markdown, as JSON, and as a picture (SVG), each with machine, versions and date."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from html import escape
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarking.engines import ENGINES
from benchmarking.measure import Measured, Setting

PACKAGES = ("numpy", "torch", "onnxruntime", "openvino", "nncf")
# Instruction sets that decide what an engine can do.
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "asimddp", "bf16", "i8mm")
HOW = (
    "- All engines run the same net on the same picture, in turn, each in a process of its own: from pixels to boxes,",
    "  scores, classes and what the heads give (RetinaNet: to its maps; Keypoint in PyTorch: to the keypoints).",
    "  Weights are random, so scores lie close together and 8 bits reorder them: what int8 costs in AP is measured on",
    "  trained models. The first run of each does not count.",
    "- Load is from the files to a model that is ready, without importing Python's packages; peak memory is that of",
    "  the process. Answers are compared with the first engine's: same class, overlap of 0.9, score to 0.05.",
)
OURS, OTHERS = "#1b6ca8", "#b8bec4"


def machine() -> dict[str, Any]:
    """CPU, its instruction sets among FLAGS, cores that this process may use, system."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    values = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    flags = set((values.get("flags") or values.get("Features") or "").split())
    return {
        "cpu": values.get("model name") or platform.machine(),
        "instruction_sets": [flag for flag in FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def reference_of(setting: Setting) -> Measured | None:
    """The row that the others are compared with: the first that ran."""
    return next((row for row in setting.rows if row.runs and not row.fault), None)


def ratio(row: Measured, reference: Measured) -> float:
    """How many times as long as the reference a run takes, by medians."""
    return row.median / reference.median


def heading(setting: Setting) -> str:
    """What was measured, in words."""
    return f"{setting.model}, {setting.size}, {setting.threads} {'thread' if setting.threads == 1 else 'threads'}"


def table(setting: Setting) -> str:
    """One setting in Markdown, fastest first; engines that did not run follow with the reason."""
    reference = reference_of(setting)
    ran = sorted((row for row in setting.rows if row.runs and not row.fault), key=lambda row: row.median)
    lines = [
        f"### {heading(setting)}",
        "",
        f"| Engine | Run (ms, median of {len(ran[0].runs) if ran else 0}) | Times as long | Load (s) "
        "| Peak memory (MB) | Answers |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for row in ran:
        times = f"{ratio(row, reference):.2f}" if reference else ""
        cells = [title(row.engine), f"{1000 * row.median:.1f}", times, f"{row.load:.2f}", f"{row.peak / 1e6:.0f}"]
        lines.append(f"| {' | '.join([*cells, row.answers])} |")
    if faults := [row for row in setting.rows if row not in ran]:
        lines += ["", "Not run:", "", *(f"- {title(row.engine)}: {row.fault or 'no run'}" for row in faults)]
    return "\n".join(lines)


def title(engine: str) -> str:
    return ENGINES[engine].title if engine in ENGINES else engine


def sources(settings: Sequence[Setting]) -> list[str]:
    """When and by which commands they were measured, in words; each once."""
    return list(dict.fromkeys(f"Measured on {setting.date} by `{setting.command}`." for setting in settings))


def markdown(settings: Sequence[Setting], facts: dict[str, Any], picture: str) -> str:
    """The whole page."""
    where = facts["machine"]
    measured = sources(settings)
    sets = ", ".join(where["instruction_sets"]) or "none of note"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines = [
        "# Benchmark",
        "",
        *([*measured, ""] if len(measured) == 1 else []),
        f"- CPU: {where['cpu']}, {where['cores']} cores, {sets}; {where['system']}",
        f"- Versions: {versions}",
        *HOW,
        "",
        f"![Time of a run]({picture})",
    ]
    for setting in settings:
        lines += ["", table(setting)]
        if len(measured) > 1:
            lines += ["", *sources([setting])]
    return "\n".join([*lines, ""])


def as_json(settings: Sequence[Setting], facts: dict[str, Any]) -> str:
    """The same for programs; seconds and bytes."""
    results = []
    for setting in settings:
        reference = reference_of(setting)
        rows = []
        for row in setting.rows:
            ran = bool(row.runs) and not row.fault
            rows.append(
                {
                    "engine": row.engine,
                    "median_seconds": row.median if ran else None,
                    "ratio": ratio(row, reference) if ran and reference else None,
                    "run_seconds": row.runs,
                    "run_cpu_seconds": row.cpu,
                    "load_seconds": row.load,
                    "peak_bytes": row.peak,
                    "answers": row.answers,
                    "fault": row.fault,
                }
            )
        what = {"model": setting.model, "size": setting.size, "threads": setting.threads}
        results.append({**what, "date": setting.date, "command": setting.command, "engines": rows})
    return json.dumps({**facts, "results": results}, indent=1) + "\n"


def from_json(text: str) -> list[Setting]:
    """The settings that as_json wrote.

    Raises:
        ValueError: they were measured on another machine than this one, or with other versions of the packages.
    """
    page = json.loads(text)
    if page["machine"] != machine():
        raise ValueError(f"it was measured on another machine: {page['machine']}")
    if page["versions"] != versions():
        raise ValueError(f"it was measured with other versions: {page['versions']}")
    settings = []
    for result in page["results"]:
        rows = [
            Measured(
                row["engine"],
                row["load_seconds"],
                row["run_seconds"],
                row["run_cpu_seconds"],
                row["peak_bytes"],
                row["answers"],
                row["fault"],
            )
            for row in result["engines"]
        ]
        setting = Setting(result["model"], result["size"], result["threads"], rows, result["date"], result["command"])
        settings.append(setting)
    return settings


def with_older(new: Sequence[Setting], older: Sequence[Setting]) -> list[Setting]:
    """The older ones, those that were measured again replaced, and those behind them that are new."""
    measured = {setting.name: setting for setting in new}
    merged = [measured.pop(setting.name, setting) for setting in older]
    return [*merged, *measured.values()]


def svg(settings: Sequence[Setting], facts: dict[str, Any]) -> str:
    """Bars, a group for each setting, fastest first: milliseconds of a run."""
    width, label, bar, gap = 760, 210, 18, 6
    y, parts = 8, []
    for setting in settings:
        ran = sorted((row for row in setting.rows if row.runs and not row.fault), key=lambda row: row.median)
        if not ran:
            continue
        reference = reference_of(setting) or ran[0]
        y += 18
        parts.append(f'<text x="0" y="{y}" font-weight="bold">{escape(heading(setting))}</text>')
        y += 8
        scale = (width - label - 130) / ran[-1].median
        for row in ran:
            length = max(row.median * scale, 1)
            colour = OURS if row.engine.startswith("ours") else OTHERS
            words = f"{1000 * row.median:.0f} ms, {ratio(row, reference):.2f}"
            parts += [
                f'<text x="{label - 8}" y="{y + bar - 5}" text-anchor="end">{escape(title(row.engine))}</text>',
                f'<rect x="{label}" y="{y}" width="{length:.1f}" height="{bar}" fill="{colour}"/>',
                f'<text x="{label + length + 6:.1f}" y="{y + bar - 5}">{words}</text>',
            ]
            y += bar + gap
    where = facts["machine"]
    y += 20
    dates = ", ".join(dict.fromkeys(setting.date for setting in settings))
    note = f"Milliseconds of a run, and how many times the first engine's; {where['cpu']}, {dates}"
    parts.append(f'<text x="0" y="{y}" fill="#666">{escape(note)}</text>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 10}" viewBox="0 0 {width} {y + 10}" '
        'font-family="sans-serif" font-size="13">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>", ""])


def write(settings: Sequence[Setting], folder: Path) -> None:
    """Writes benchmark.md, benchmark.json and benchmark.svg."""
    facts = {"machine": machine(), "versions": versions()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.md").write_text(markdown(settings, facts, "benchmark.svg"), encoding="utf-8")
    (folder / "benchmark.json").write_text(as_json(settings, facts), encoding="utf-8")
    (folder / "benchmark.svg").write_text(svg(settings, facts), encoding="utf-8")
