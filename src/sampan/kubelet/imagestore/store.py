"""The images that a node (or all nodes of a machine) can run, on disk:

<images>/index.json              names -> image ids; images with config and chain of layers
<images>/layers/<chain id>/      one unpacked layer, shared by every image with the same chain
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from sampan.kubelet.images import Config, Image, normalized
from sampan.kubelet.imagestore.archive import Archive, ImageSource, LayerSource, check
from sampan.kubelet.imagestore.layers import unpack
from sampan.std.clock import Clock

Json = dict[str, Any]
Decompress = Callable[[IO[bytes]], IO[bytes]]
"""From a compressed stream (zstd) to what is in it."""
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class InUse(Exception):
    """The image cannot be removed: somebody runs it."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the store needs of the machine."""

    clock: Clock
    architecture: str
    zstd: Decompress
    is_used: Callable[[str], bool] = lambda path: False
    """Whether a layer's directory is under some container."""
    is_running: Callable[[str], bool] = lambda image: False
    """Whether some container was made of an image, by its id."""


class DiskImages:
    """An `ImageStore`; loading and removing are for root."""

    def __init__(self, folder: str, tools: Tools) -> None:
        self.folder, self.tools = folder, tools
        self._stamp: tuple[int, int] = (0, 0)
        self._index: Json = {"names": {}, "images": {}}

    def find(self, reference: str) -> Image | None:
        index = self._read()
        _, at, digest = reference.partition("@")
        key = index["names"].get(reference)
        if key is None and at:
            images = index["images"].items()
            key = next((i for i, entry in images if digest in (i, entry["digest"])), None)
        return self._image(key, index) if key is not None else None

    def all(self) -> list[Image]:
        index = self._read()
        return [image for key in index["images"] if (image := self._image(key, index))]

    def load(self, path: str) -> list[Image]:
        """Every image of an archive that fits this machine. Raises BadArchive, BadLayer."""
        archive = Archive(path, self.tools.architecture)
        try:
            with self._locked():
                try:
                    return [self._add(archive, source) for source in archive.images()]
                except BaseException:
                    self._sweep(self._read())  # layers of an image that came to nothing
                    raise
        finally:
            archive.close()

    def remove(self, reference: str) -> bool:
        """A name, and with its last name the image. False when there is none. Raises InUse."""
        with self._locked():
            index = self._read()
            name, key = self._named(reference, index)
            if not key:
                return False
            if name:
                names = {n: to for n, to in index["names"].items() if n != name}
            else:
                names = {n: to for n, to in index["names"].items() if to != key}
            images = dict(index["images"])
            if key not in names.values():
                gone = images.pop(key)["chain"]
                kept = {layer for image in images.values() for layer in image["chain"]}
                if self.tools.is_running(key) or any(
                    self.tools.is_used(self._layer(one)) for one in gone if one not in kept
                ):
                    raise InUse(f"{reference} is used by a container; end its pod first")
            index = {"names": names, "images": images}
            self._write(index)
            self._sweep(index)
            return True

    @staticmethod
    def _named(reference: str, index: Json) -> tuple[str, str]:
        """The name and the image that are meant; without a name it is the image itself, by its id,
        the beginning of it as `ls` shows it, or its digest. Raises BadReference.
        """
        bare = reference.removeprefix("sha256:")
        if re.fullmatch(r"[0-9a-f]{4,64}", bare):
            found = [key for key in index["images"] if key.startswith(f"sha256:{bare}")]
            if len(found) == 1:
                return "", found[0]
        name = normalized(reference)
        if name in index["names"]:
            return name, index["names"][name]
        digest = name.partition("@")[2]
        images = index["images"].items()
        return "", next((i for i, e in images if digest and digest in (i, e["digest"])), "")

    def _add(self, archive: Archive, source: ImageSource) -> Image:
        chain: list[str] = []
        for layer in source.layers:
            chain.append(chain_id(chain[-1] if chain else "", layer.diff_id))
            if not os.path.isdir(self._layer(chain[-1])):
                self._unpack(archive, layer, chain)
        index = self._read()
        index["images"][source.id] = {
            "chain": chain,
            "digest": source.digest,
            "config": source.config.get("config") or {},
            "size": sum(_size(self._layer(layer)) for layer in chain),
            "loaded": self.tools.clock.now(),
        }
        for name in source.names:
            index["names"][name] = source.id
        self._write(index)
        self._sweep(index)
        found = self._image(source.id, index)
        assert found is not None
        return found

    def _unpack(self, archive: Archive, layer: LayerSource, chain: list[str]) -> None:
        """Into a directory beside, which gets its name when both digests were right."""
        partial = f"{self.folder}/layers/.partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial, mode=0o755)
        below = [self._layer(name) for name in reversed(chain[:-1])]
        outer = _Counted(archive.open(layer.member))
        inner = _Counted(self._plain(outer))
        done = unpack(io.BufferedReader(inner), partial, below)
        inner.drain()
        outer.drain()
        if layer.digest:
            check(layer.digest, outer.hash.hexdigest())
        check(layer.diff_id, inner.hash.hexdigest())
        with open(self._layer(chain[-1]) + ".size", "w") as file:
            file.write(str(done.size))
        os.rename(partial, self._layer(chain[-1]))

    def _plain(self, stream: _Counted) -> IO[bytes]:
        """The tar inside, whatever it is packed with."""
        buffered = io.BufferedReader(stream, 1 << 16)
        magic = buffered.peek(4)[:4]
        if magic.startswith(GZIP):
            import gzip

            return gzip.GzipFile(fileobj=buffered)  # type: ignore[return-value]
        if magic == ZSTD:
            return self.tools.zstd(buffered)
        return buffered

    def _image(self, key: str, index: Mapping[str, Any]) -> Image | None:
        entry = index["images"].get(key)
        if entry is None:
            return None
        config = entry["config"]
        return Image(
            id=key,
            layers=tuple(self._layer(name) for name in reversed(entry["chain"])),
            config=Config(
                entrypoint=tuple(config.get("Entrypoint") or ()),
                command=tuple(config.get("Cmd") or ()),
                env=tuple(config.get("Env") or ()),
                user=config.get("User") or "",
                working_dir=config.get("WorkingDir") or "",
                stop_signal=config.get("StopSignal") or "",
            ),
            names=tuple(name for name, to in index["names"].items() if to == key),
            size=entry["size"],
            loaded=entry["loaded"],
        )

    def _layer(self, chain: str) -> str:
        return f"{self.folder}/layers/{chain.removeprefix('sha256:')[:32]}"

    def _sweep(self, index: Json) -> None:
        """Remove layers that no image has any more."""
        used = {self._layer(name) for image in index["images"].values() for name in image["chain"]}
        folder = f"{self.folder}/layers"
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            path = f"{folder}/{name}"
            if path.removesuffix(".size") in used:
                continue
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)

    def _read(self) -> Json:
        """The index as it is on disk now; another process may have changed it."""
        path = f"{self.folder}/index.json"
        try:
            state = os.stat(path)
        except FileNotFoundError:
            return {"names": {}, "images": {}}
        stamp = (state.st_mtime_ns, state.st_ino)
        if stamp != self._stamp:
            with open(path) as file:
                self._index = json.load(file)
            self._stamp = stamp
        return self._index

    def _write(self, index: Json) -> None:
        path = f"{self.folder}/index.json"
        with open(path + ".new", "w") as file:
            json.dump(index, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)
        self._stamp = (0, 0)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        os.makedirs(f"{self.folder}/layers", mode=0o711, exist_ok=True)
        fd = os.open(f"{self.folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


class _Counted(io.RawIOBase):
    """Hashes what is read through it."""

    def __init__(self, inner: IO[bytes]) -> None:
        self.inner = inner
        self.hash = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        self.hash.update(data)
        buffer[: len(data)] = data
        return len(data)

    def drain(self) -> None:
        """Padding behind the last entry belongs to the digest as well."""
        while self.read(1 << 20):
            pass


def chain_id(parent: str, diff_id: str) -> str:
    """The OCI image specification's ChainID: a layer together with all below it."""
    if not parent:
        return diff_id
    return "sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest()


def _size(layer: str) -> int:
    try:
        with open(layer + ".size") as file:
            return int(file.read())
    except FileNotFoundError:
        return 0
