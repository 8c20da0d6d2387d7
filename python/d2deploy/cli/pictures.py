"""What a command is asked to look at: pictures, folders, patterns, videos, cameras, one frame after the other."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2deploy.cli.shared import needs
from d2deploy.errors import DeviceError, InvalidArgument
from d2deploy.picture_files import (
    VIDEOS,
    files_of_folder,
    files_of_pattern,
    has_suffix,
    is_folder,
    is_pattern,
    refuse_url,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Frame", "Source", "find_sources", "read_ahead"]

AHEAD = 3  # pictures that are decoded before the net is ready for them


@dataclass
class Frame:
    """A picture, or one of a video.

    Attributes:
        name: for the reader.
        output: relative path for what is drawn on it, without suffix.
        suffix: of the file for it.
        pixels: (H, W, 3) RGB uint8; None where it cannot be read.
        fault: why not.
        seconds: that decoding took.
    """

    name: str
    output: Path
    suffix: str
    pixels: NDArray[np.uint8] | None
    fault: str
    seconds: float


@dataclass(frozen=True)
class Source:
    """A picture, a video or a camera.

    Attributes:
        path: of the file; for a camera its number.
        output: as in Frame; of a video, of all its frames.
        moving: a video or a camera.
    """

    path: Path
    output: Path
    moving: bool

    def frames(self) -> Iterator[Frame]:
        return self._moving() if self.moving else self._still()

    def _still(self) -> Iterator[Frame]:
        from d2deploy.images import read_image

        start = time.perf_counter()
        pixels, fault = None, ""
        try:
            pixels = read_image(self.path, "RGB")
        except InvalidArgument as error:
            fault = str(error)
        suffix = ".png" if self.path.suffix.lower() == ".png" else ".jpg"
        yield Frame(str(self.path), self.output, suffix, pixels, fault, time.perf_counter() - start)

    def _moving(self) -> Iterator[Frame]:
        cv2 = open_cv()
        camera = self.path.name.isdigit()
        video = cv2.VideoCapture(int(self.path.name) if camera else str(self.path))
        try:
            if not video.isOpened():
                if camera:
                    raise DeviceError(f"camera {self.path.name}: cannot be opened; is it connected, and not in use?")
                fault = f"{self.path}: cannot be read as a video"
                yield Frame(str(self.path), self.output, ".jpg", None, fault, 0)
                return
            number = 0
            start = time.perf_counter()
            while (read := video.read())[0]:
                number += 1
                pixels = read[1][:, :, ::-1]
                output = self.output.with_name(f"{self.output.name}_{number:06d}")
                yield Frame(f"{self.path} frame {number}", output, ".jpg", pixels, "", time.perf_counter() - start)
                start = time.perf_counter()
        finally:
            video.release()


def open_cv() -> Any:
    """OpenCV's package."""
    with needs("reading a video or a camera", "video"):
        import cv2

        return cv2


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """What is meant by the arguments of a command line.

    Args:
        inputs: paths of pictures and videos, folders, patterns as *.jpg, numbers of cameras.

    Raises:
        InvalidArgument: a URL, a folder or a pattern without pictures.
        Unsupported: a video, and OpenCV is not installed.
    """
    sources: list[Source] = []
    taken: set[Path] = set()

    def add(path: Path, output: Path, moving: bool) -> None:
        stem, count = output.with_suffix(""), 1
        while (name := stem if count == 1 else stem.with_name(f"{stem.name}_{count}")) in taken:
            count += 1
        taken.add(name)
        sources.append(Source(path, name, moving))

    for text in inputs:
        path = Path(text)
        refuse_url(text)
        if is_folder(text):
            for file in map(Path, files_of_folder(text)):
                add(file, Path(file.name), False)
        elif text.isdigit() and not os.path.lexists(text):
            add(path, Path(f"camera{text}.jpg"), True)
        elif is_pattern(text):
            for file in map(Path, files_of_pattern(text)):
                add(file, Path(file.name), has_suffix(file.name, VIDEOS))
        else:
            add(path, Path(path.name), has_suffix(text, VIDEOS))
    if any(source.moving for source in sources):
        open_cv()
    return sources


def read_ahead(sources: Sequence[Source]) -> Generator[Frame, None, None]:
    """All frames in order; a thread decodes the next ones meanwhile."""
    frames = (frame for source in sources for frame in source.frames())
    pool = ThreadPoolExecutor(1, thread_name_prefix="decode")
    try:
        pending = deque(pool.submit(next, frames, None) for _ in range(AHEAD))
        while (frame := pending.popleft().result()) is not None:
            pending.append(pool.submit(next, frames, None))
            yield frame
    finally:
        pool.shutdown(cancel_futures=True)
        frames.close()
