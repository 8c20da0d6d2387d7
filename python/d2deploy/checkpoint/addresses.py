"""From the address of a checkpoint to a file on this machine: detectron2://, https:// and paths; downloads once.

A file comes into the cache only whole and checked.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from tqdm import tqdm

from d2deploy.errors import Error, InvalidArgument, InvalidModel, Unsupported

ZOO = "https://dl.fbaipublicfiles.com/detectron2/"
TIMEOUT_SECONDS = 30.0  # without a byte
MAX_BYTES = 16 << 30
_CHUNK_BYTES = 1 << 20
_INSTEAD = "or download it elsewhere and give the path of the file"
# The zoo's file names end in the first digits of the file's MD5. Source: detectron2/MODEL_ZOO.md.
_MD5_IN_NAME = re.compile(r"_([0-9a-f]{6})\.pkl$")
_BACKBONES = "ImageNetPretrained/"


def cache_folder() -> Path:
    """Where downloads are kept: $D2DEPLOY_CACHE, or else ~/.cache/d2deploy."""
    return Path(os.environ.get("D2DEPLOY_CACHE") or "~/.cache/d2deploy").expanduser()


def is_backbone(address: str) -> bool:
    """Whether this is the address of one of the zoo's backbones to start training from; a folder may bear any name."""
    scheme, _, rest = address.partition("://")
    return scheme in ("detectron2", "catalog") and rest.startswith(_BACKBONES)


def local_file(address: str | Path) -> Path:
    """The file that an address stands for; downloads it where the cache does not have it.

    Args:
        address: A path, https://... or http://..., or detectron2://..., which is the zoo's place.

    Raises:
        InvalidArgument: There is no such file, or it cannot be downloaded.
        InvalidModel: What was downloaded is not what the address promises.
        Unsupported: The address is that of a backbone to start training from.
    """
    scheme, separator, rest = str(address).partition("://")
    if not separator:
        return _existing(str(address))
    if is_backbone(str(address)):
        raise Unsupported(
            f"{address} is a backbone to start training from, and no detector; set MODEL.WEIGHTS to the weights that "
            "were trained with the configuration (for the zoo's, `zoo_weights(name)` tells where they are)"
        )
    if scheme == "detectron2":
        md5 = _MD5_IN_NAME.search(rest)
        return _cached(ZOO + rest, Path("detectron2", *_parts(rest)), md5[1] if md5 else "")
    if scheme in ("https", "http"):
        host, _, path = rest.partition("/")
        return _cached(str(address), Path(*_parts(host), *_parts(path)), "")
    raise InvalidArgument(f"{address}: addresses begin with detectron2://, https:// or http://, or are paths of files")


def _existing(address: str) -> Path:
    if not address:
        raise InvalidArgument("no checkpoint is given; set MODEL.WEIGHTS to a file or an address")
    path = Path(address).expanduser()
    try:
        if path.is_file():
            return path
        reason = "it is a folder" if path.is_dir() else "no such file"
    except OSError as error:
        reason = str(error.strerror)
    raise InvalidArgument(f"no checkpoint {path}: {reason}")


def _parts(path: str) -> list[str]:
    """The parts of an address as names of folders and a file; nothing that leads out of the cache."""
    parts = [urllib.parse.quote(part, safe="+@=,%-_.") for part in path.split("/")]
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidArgument(f"{path!r} is not the address of a file")
    return parts


def _cached(url: str, name: Path, md5: str) -> Path:
    target = cache_folder() / name
    try:
        if target.is_file():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=target.parent)
        os.close(handle)
        try:
            _download(url, Path(temporary), md5)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise InvalidArgument(
            f"cannot keep {url} in {target.parent}: {error.strerror or error}; set D2DEPLOY_CACHE to another folder, "
            f"{_INSTEAD}"
        ) from None
    return target


def _download(url: str, target: Path, md5: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            found = _receive(response, target, url)
    except urllib.error.HTTPError as error:
        with error:
            raise InvalidArgument(
                f"cannot download {url}: the server answers {error.code} ({error.reason}); check the address, "
                f"{_INSTEAD}"
            ) from None
    except Error:
        raise
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InvalidArgument(f"cannot download {url}: {reason}; check the network, {_INSTEAD}") from None
    if md5 and not found.startswith(md5):
        raise InvalidModel(
            f"{url} is damaged: its MD5 is {found}, but begins with {md5} by its name; try again, {_INSTEAD}"
        )


def _receive(response: HTTPResponse, target: Path, url: str) -> str:
    """Writes what comes to a file, and gives its MD5."""
    length = response.headers.get("Content-Length")
    wanted = int(length) if length and re.fullmatch("[0-9]{1,18}", length) else None
    free = shutil.disk_usage(target.parent).free
    if wanted is not None and wanted > min(free, MAX_BYTES):
        raise InvalidArgument(
            f"{url} has {wanted} bytes, and {target.parent} has room for {min(free, MAX_BYTES)}; set D2DEPLOY_CACHE to "
            f"another folder, {_INSTEAD}"
        )
    digest, received = hashlib.md5(usedforsecurity=False), 0
    with (
        target.open("wb") as file,
        tqdm(
            total=wanted, desc=Path(urllib.parse.urlsplit(url).path).name, unit="B", unit_scale=True, disable=None
        ) as progress,
    ):
        while block := response.read(_CHUNK_BYTES):
            received += len(block)
            if received > MAX_BYTES:
                raise InvalidArgument(f"{url} has more than {MAX_BYTES} bytes; {_INSTEAD}")
            file.write(block)
            digest.update(block)
            progress.update(len(block))
    if wanted is not None and received != wanted:
        raise InvalidModel(f"{url} came incomplete: {received} of {wanted} bytes; try again, {_INSTEAD}")
    return digest.hexdigest()
