"""The log: a JSON object on each line. Nothing of what clients send is in it but their request ids."""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from datetime import datetime, timezone
from typing import TextIO

__all__ = ["LOGGER", "fields", "log_as_json", "request_id"]

LOGGER = logging.getLogger("d2deploy.serving")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(given: str | None) -> str:
    """That of the client, where it is one that a log can hold, or a new one."""
    return given if given is not None and _ID.fullmatch(given) else uuid.uuid4().hex


def fields(**values: object) -> dict[str, dict[str, object]]:
    """For `extra=` of a logger: what stands in the line beside the message."""
    return {"fields": values}


class JsonLines(logging.Formatter):
    """time, level, message, and the fields of a record; `trace` with the stack, where there was an error."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json(stream: TextIO | None = None) -> None:
    """Everything that is logged in this process goes to `stream`, stderr by default, line by line.

    Requests and what the library says are told from INFO on, all else from WARNING on.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("d2deploy").setLevel(logging.INFO)
