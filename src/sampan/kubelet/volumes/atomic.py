"""Files that change all at once, by the dance of links that programs know from upstream:

..2026_11_20_19_49_04.123456789/    the files
..data -> ..2026_...                replaced by one rename
key -> ..data/key                   what users read; added and removed, never rewritten
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sampan.kubelet.volumes.projection import File

DATA = "..data"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who the files belong to; -1 leaves what the process is."""

    uid: int = -1
    gid: int = -1


def write(target: str, payload: Mapping[str, File], now: float, owner: Owner = Owner()) -> bool:
    """Make the directory hold just `payload`; False when it did already."""
    os.makedirs(target, mode=0o755, exist_ok=True)
    old = _current(target)
    if old and _same(f"{target}/{old}", payload, owner):
        _link(target, payload)
        return False
    new = _fresh_name(target, now)
    for path, file in payload.items():
        _write_file(f"{target}/{new}", path, file, owner)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{target}/{DATA}_tmp")
    os.symlink(new, f"{target}/{DATA}_tmp")
    os.rename(f"{target}/{DATA}_tmp", f"{target}/{DATA}")
    _link(target, payload)
    if old:
        shutil.rmtree(f"{target}/{old}", ignore_errors=True)
    return True


def _current(target: str) -> str:
    try:
        return os.readlink(f"{target}/{DATA}")
    except OSError:
        return ""


def _fresh_name(target: str, now: float) -> str:
    stamp = time.strftime("..%Y_%m_%d_%H_%M_%S", time.gmtime(now))
    number = int(now % 1 * 1e9)
    while True:
        name = f"{stamp}.{number:09d}"
        try:
            os.mkdir(f"{target}/{name}", 0o755)
        except FileExistsError:
            number += 1
        else:
            return name


def _same(folder: str, payload: Mapping[str, File], owner: Owner) -> bool:
    found = set()
    for top, _, names in os.walk(folder):
        found |= {os.path.relpath(f"{top}/{name}", folder) for name in names}
    if found != set(payload):
        return False
    for path, file in payload.items():
        state = os.stat(f"{folder}/{path}")
        with open(f"{folder}/{path}", "rb") as reader:
            if reader.read() != file.data or state.st_mode & 0o7777 != file.mode:
                return False
        if owner.gid not in (-1, state.st_gid) or owner.uid not in (-1, state.st_uid):
            return False
    return True


def _write_file(folder: str, path: str, file: File, owner: Owner) -> None:
    parent = os.path.dirname(f"{folder}/{path}")
    os.makedirs(parent, mode=0o755, exist_ok=True)
    fd = os.open(f"{folder}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, file.data)
        if owner != Owner():
            os.fchown(fd, owner.uid, owner.gid)
        os.fchmod(fd, file.mode)
    finally:
        os.close(fd)


def _link(target: str, payload: Mapping[str, File]) -> None:
    wanted = {path.split("/", 1)[0] for path in payload}
    there = {entry.name for entry in os.scandir(target) if not entry.name.startswith("..")}
    for name in there - wanted:
        os.unlink(f"{target}/{name}")
    for name in wanted - there:
        os.symlink(f"{DATA}/{name}", f"{target}/{name}")
