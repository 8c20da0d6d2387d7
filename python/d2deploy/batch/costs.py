"""What many pictures cost, as a job measured it."""

from __future__ import annotations

__all__ = ["per_unit_hour"]


def per_unit_hour(pictures: int, seconds: float, units: int) -> float:
    """Pictures that one core, or one GPU, does in an hour, as measured with `units` of them."""
    return pictures * 3600 / (seconds * units) if seconds > 0 and units > 0 else 0.0
