"""Unpacking a layer into a directory that an overlay can use, without ever leaving it.

Names are taken as if the directory were the root: `..` stops there, and links of this layer and of
the layers below are followed inside of it, as they would be in the running container.

    .wh.NAME           NAME of a lower layer is gone: a character device 0/0
    .wh..wh..opq       nothing of the lower directory shows: trusted.overlay.opaque
"""

from __future__ import annotations

import contextlib
import gzip
import os
import posixpath
import shutil
import stat
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
AUFS = ".wh..wh."
"""Begins the names of what aufs keeps for itself; nobody wants it."""
OPAQUE_XATTR = "trusted.overlay.opaque"
PAX_XATTR = "SCHILY.xattr."
OVERLAYS = ("trusted.overlay.", "user.overlay.")
"""What overlayfs believes; a layer says such things by whiteouts only."""
MAX_LINKS = 40


class BadLayer(Exception):
    """The layer cannot be unpacked; one line."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """How much it was."""

    size: int
    entries: int


def unpack(stream: IO[bytes], target: str, below: Sequence[str]) -> Unpacked:
    """`below` are the directories of the lower layers, the topmost first. Raises BadLayer."""
    layer = _Layer(target, below)
    size = entries = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for info in tar:
                layer.take(tar, info)
                entries += 1
                size += info.size if info.isreg() else 0
        layer.finish()
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadLayer(f"damaged layer: {error}") from error
    except (ValueError, OverflowError) as error:  # a name with a zero byte, an owner beyond 32 bits
        raise BadLayer(f"damaged layer: {error}") from error
    except OSError as error:
        raise BadLayer(f"{error.filename or target}: {error.strerror or error}") from error
    return Unpacked(size, entries)


class _Layer:
    def __init__(self, target: str, below: Sequence[str]) -> None:
        self.target, self.below = target, below
        self.folders: list[tuple[str, tarfile.TarInfo]] = []
        """Their times are set last: what is put into them changes them."""

    def take(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        name = posixpath.normpath("/" + info.name.lstrip("/"))
        if name == "/":
            if info.isdir():
                self._mark(self.target, info)
            return
        parent = self._folder(posixpath.dirname(name))
        base = posixpath.basename(name)
        if base == OPAQUE:
            os.setxattr(parent, OPAQUE_XATTR, b"y")
        elif base.startswith(AUFS):
            return
        elif base.startswith(WHITEOUT):
            self._hide(info, parent, base[len(WHITEOUT) :])
        else:
            self._make(tar, info, f"{parent}/{base}")

    def _hide(self, info: tarfile.TarInfo, parent: str, base: str) -> None:
        """A whiteout is about the layers below alone: what this layer has itself stays, and only
        stops to be mixed with what is below.
        """
        if base in ("", ".", ".."):
            raise BadLayer(f"{info.name}: a whiteout of nothing")
        path = f"{parent}/{base}"
        if not os.path.lexists(path):
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        elif os.path.isdir(path) and not os.path.islink(path):
            os.setxattr(path, OPAQUE_XATTR, b"y")

    def finish(self) -> None:
        for path, info in reversed(self.folders):
            with contextlib.suppress(FileNotFoundError):
                os.utime(path, (info.mtime, info.mtime))

    def _make(self, tar: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> None:
        if info.isdir():
            if not os.path.isdir(path) or os.path.islink(path):
                _fresh_folder(path, 0o700)
        else:
            _clear(path)
        if info.islnk():
            self._link(info, path)
            return
        if info.issym():
            os.symlink(info.linkname, path)
        elif info.isreg():
            _copy(tar.extractfile(info), path)
        elif info.isfifo():
            os.mkfifo(path)
        elif info.ischr() or info.isblk():
            kind = stat.S_IFCHR if info.ischr() else stat.S_IFBLK
            os.mknod(path, kind | 0o600, os.makedev(info.devmajor, info.devminor))
        self._mark(path, info)

    def _link(self, info: tarfile.TarInfo, path: str) -> None:
        """A second name; of a file in a lower layer there is a copy first."""
        name = posixpath.normpath("/" + info.linkname.lstrip("/"))
        parent = self._folder(posixpath.dirname(name))
        source = f"{parent}/{posixpath.basename(name)}"
        if not os.path.lexists(source) or _is_whiteout(source):
            lower = None if os.path.lexists(source) else self._find(source[len(self.target) :])
            if lower is None or not stat.S_ISREG(os.lstat(lower).st_mode):
                raise BadLayer(f"{info.name}: link to {info.linkname}, which is not there")
            shutil.copyfile(lower, source, follow_symlinks=False)
            state = os.lstat(lower)
            # First the owner: changing it takes the setuid bit and capabilities away.
            os.lchown(source, state.st_uid, state.st_gid)
            shutil.copystat(lower, source, follow_symlinks=False)
        os.link(source, path, follow_symlinks=False)

    def _mark(self, path: str, info: tarfile.TarInfo) -> None:
        os.lchown(path, info.uid, info.gid)
        if info.issym():
            os.utime(path, (info.mtime, info.mtime), follow_symlinks=False)
            return
        os.chmod(path, info.mode & 0o7777)
        for key, value in info.pax_headers.items():
            name = key.removeprefix(PAX_XATTR)
            if key.startswith(PAX_XATTR) and not name.startswith(OVERLAYS):
                data = value.encode("utf-8", "surrogateescape")
                with contextlib.suppress(OSError):  # a file system may know fewer of them
                    os.setxattr(path, name, data)
        if info.isdir():
            self.folders.append((path, info))
        else:
            os.utime(path, (info.mtime, info.mtime))

    # -- finding the way inside the root

    def _folder(self, name: str) -> str:
        """The directory of this layer that `name` means, made as far as it is missing."""
        done, rest, links = "", name.strip("/").split("/") if name != "/" else [], 0
        while rest:
            part = rest.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = f"{done}/{part}"
            found = self._find(here)
            if found is not None and os.path.islink(found):
                links += 1
                if links > MAX_LINKS:
                    raise BadLayer(f"{name}: too many links")
                to = os.readlink(found)
                rest = to.strip("/").split("/") + rest
                done = "" if to.startswith("/") else done
                continue
            self._make_folder(here, found)
            done = here
        return self.target + done

    def _make_folder(self, name: str, like: str | None) -> None:
        path = self.target + name
        if os.path.isdir(path):
            return
        _fresh_folder(path, 0o755)
        if like is not None and os.path.isdir(like):
            state = os.stat(like)
            os.chown(path, state.st_uid, state.st_gid)
            os.chmod(path, state.st_mode & 0o7777)

    def _find(self, name: str) -> str | None:
        """Where `name` is in this layer or below; None when it is nowhere, or taken away."""
        for top in (self.target, *self.below):
            path, goes_on = _inside(top, name)
            if path is not None or not goes_on:
                return path
        return None


def _inside(top: str, name: str) -> tuple[str | None, bool]:
    """`name` in one layer, and whether the layers below may still have it. No link is followed:
    what is a link here hides whatever has that name below.
    """
    path, opaque = top, False
    parts = name.strip("/").split("/")
    for number, part in enumerate(parts):
        opaque = opaque or (number > 0 and _is_opaque(path))
        path = f"{path}/{part}"
        try:
            state = os.lstat(path)
        except FileNotFoundError:
            return None, not opaque
        gone = stat.S_ISCHR(state.st_mode) and state.st_rdev == 0
        if gone or (number < len(parts) - 1 and not stat.S_ISDIR(state.st_mode)):
            return None, False
    return path, False


def _is_whiteout(path: str) -> bool:
    state = os.lstat(path)
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


def _fresh_folder(path: str, mode: int) -> None:
    """In place of whatever has the name; behind a whiteout it shows nothing of the layers below."""
    hides = os.path.lexists(path) and _is_whiteout(path)
    _clear(path)
    os.mkdir(path, mode)
    if hides:
        os.setxattr(path, OPAQUE_XATTR, b"y")


def _is_opaque(path: str) -> bool:
    try:
        return os.getxattr(path, OPAQUE_XATTR) == b"y"
    except OSError:
        return False


def _clear(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def _copy(source: IO[bytes] | None, path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        if source is not None:
            shutil.copyfileobj(source, file, 1 << 20)
