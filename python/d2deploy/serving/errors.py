"""What may be wrong with a request, and which codes of HTTP and gRPC say so. This table is the only one."""

from __future__ import annotations

from typing import NamedTuple

from d2deploy.errors import DeviceError, Error, InternalError, InvalidArgument, InvalidModel, Unsupported

__all__ = [
    "Answer",
    "Conflict",
    "DeadlineExceeded",
    "Forbidden",
    "NotFound",
    "NotServed",
    "Overloaded",
    "TooLarge",
    "TooSlow",
    "Unauthorized",
    "Unavailable",
    "UnknownMediaType",
    "answer_to",
]


class NotFound(InvalidArgument):
    """There is no such model, version, or address."""


class TooLarge(InvalidArgument):
    """More bytes, pixels or elements than the server takes."""


class TooSlow(InvalidArgument):
    """The client did not send its request in time."""


class UnknownMediaType(InvalidArgument):
    """The body is of a kind that is not read."""


class Unauthorized(InvalidArgument):
    """The token is missing or wrong."""


class Forbidden(InvalidArgument):
    """The request comes from a page of another site."""


class Conflict(InvalidArgument):
    """What is asked for does not go with what the server is doing."""


class NotServed(Error):  # noqa: N818  # as all of the tree
    """Nothing is wrong with the request, but it is not answered now."""


class Overloaded(NotServed):
    """The queue is full.

    Attributes:
        retry_seconds: when it is worth trying again.
    """

    def __init__(self, message: str, retry_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class Unavailable(NotServed):
    """The server ends, or the model is not loaded."""


class DeadlineExceeded(NotServed):
    """There is no answer in the time that the client, or the server, allows."""


class Answer(NamedTuple):
    """How an error is told.

    Attributes:
        status: code of HTTP.
        grpc: name of gRPC's status code.
        message: for the client.
        hidden: it says nothing; the log has to.
    """

    status: int
    grpc: str
    message: str
    hidden: bool


# The first that fits counts. What is hidden is told as "internal error": its message may hold paths and is for the log.
_HIDDEN = "internal error; the server's log has more under this request id"
_ANSWERS: tuple[tuple[type[Exception], int, str, bool], ...] = (
    (NotFound, 404, "NOT_FOUND", False),
    (TooLarge, 413, "INVALID_ARGUMENT", False),
    (TooSlow, 408, "DEADLINE_EXCEEDED", False),
    (UnknownMediaType, 415, "INVALID_ARGUMENT", False),
    (Unauthorized, 401, "UNAUTHENTICATED", False),
    (Forbidden, 403, "PERMISSION_DENIED", False),
    (Conflict, 409, "FAILED_PRECONDITION", False),
    (Overloaded, 429, "RESOURCE_EXHAUSTED", False),
    (Unavailable, 503, "UNAVAILABLE", False),
    (DeadlineExceeded, 504, "DEADLINE_EXCEEDED", False),
    (InvalidArgument, 400, "INVALID_ARGUMENT", False),
    (Unsupported, 501, "UNIMPLEMENTED", False),
    (DeviceError, 503, "UNAVAILABLE", True),
    (InvalidModel, 500, "INTERNAL", True),
    (InternalError, 500, "INTERNAL", True),
    (Exception, 500, "INTERNAL", True),
)


def answer_to(error: Exception) -> Answer:
    """What a client is told about an error: nothing of a fault that is not its own."""
    _, status, grpc, hidden = next(row for row in _ANSWERS if isinstance(error, row[0]))
    return Answer(status, grpc, _HIDDEN if hidden else str(error), hidden)
