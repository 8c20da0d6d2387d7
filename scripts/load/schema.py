"""Requests made up from the document of the addresses by schemathesis, whose answers must be as the document says."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from load.server import HOST, Fault, serving

CONFIGURATION = Path(__file__).parent / "schemathesis.toml"
MOST_SECONDS = 900
# What the server is for is left as it is: a model that was unloaded would make all that follows say no.
LEFT_OUT = "/unload$"
SMALL = ["--min-size", "96", "--max-size", "160"]  # what the net sees; answers are looked at, not what is found


def run(model: Path, examples: int, seed: int) -> None:
    """Raises Fault where an answer is none that the document tells of, or schemathesis is missing."""
    program = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
    if program is None:
        raise Fault("schemathesis is not installed: pip install --group load")
    with tempfile.TemporaryDirectory() as folder, serving(model, *SMALL) as server:
        document = f"http://{HOST}:{server.port}/openapi.json"
        command = [program, "--config-file", str(CONFIGURATION), "run", document, "--exclude-path-regex", LEFT_OUT]
        command += ["--max-examples", str(examples), "--seed", str(seed), "--workers", "1"]
        try:
            code = subprocess.run(command, check=False, timeout=MOST_SECONDS, cwd=folder).returncode
        except subprocess.TimeoutExpired as error:
            raise Fault(f"schemathesis did not end within {MOST_SECONDS} s") from error
    if code:
        raise Fault(f"schemathesis ended with {code}: its report is above")
