"""What is in an image archive: the OCI image layout, or what `docker save` writes.

    OCI layout        oci-layout  index.json -> manifest (or a nested index by platform) -> blobs
    docker-archive    manifest.json -> config and layer files, names in RepoTags

Pure reading: nothing is unpacked here; digests are checked by whoever reads the blobs.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from sampan.kubelet.images import BadReference, normalized

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
MAX_JSON = 8 << 20
MAX_DEPTH = 8
"""Of indexes within indexes."""
Json = dict[str, Any]


class BadArchive(Exception):
    """The file is no image archive, or not what it says; one line."""


@dataclass(frozen=True, slots=True)
class LayerSource:
    """One layer: a member of the archive, and what it must hash to."""

    member: str
    digest: str
    """Of the bytes as they are in the archive; empty where the archive does not say."""
    diff_id: str
    """Of the tar inside."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One image of an archive; `layers` from the bottom up."""

    id: str
    digest: str
    """Of its manifest; empty where the archive has none."""
    names: tuple[str, ...]
    config: Json
    layers: tuple[LayerSource, ...]


class Archive:
    """An open archive file; members are found by name."""

    def __init__(self, path: str, architecture: str) -> None:
        self.architecture = architecture
        try:
            self.tar = tarfile.open(path, "r:*")  # noqa: SIM115 - closed with the archive
        except OSError as error:
            raise BadArchive(error.strerror or str(error)) from error
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise BadArchive("it is no tar file, packed or not") from error
        try:
            self.members = {posixpath.normpath(m.name): m for m in self.tar.getmembers()}
        except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            self.tar.close()
            raise BadArchive(f"it is no whole tar file: {error}") from error

    def close(self) -> None:
        self.tar.close()

    def images(self) -> list[ImageSource]:
        """Raises BadArchive."""
        try:
            return self._images()
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            text = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
            raise BadArchive(
                f"its index or a manifest is not as the format has it: {text}"
            ) from error

    def _images(self) -> list[ImageSource]:
        if "index.json" in self.members:
            found = list(self._of_index(self._json("index.json"), ()))
        elif "manifest.json" in self.members:
            found = []
        else:
            raise BadArchive("neither index.json (OCI layout) nor manifest.json (docker-archive)")
        if "manifest.json" in self.members and not any(image.names for image in found):
            found = list(self._of_docker(self._json("manifest.json")))
        if not found:
            raise BadArchive(f"no image for linux/{self.architecture}")
        return found

    def open(self, member: str) -> IO[bytes]:
        """The bytes of a member. Raises BadArchive."""
        info = self.members.get(posixpath.normpath(member))
        try:
            stream = self.tar.extractfile(info) if info is not None else None
        except (KeyError, RecursionError):  # a link to nowhere, or in a circle
            stream = None
        if stream is None:
            raise BadArchive(f"{member} is missing")
        return stream

    # -- OCI layout

    def _of_index(
        self, index: Json, names: tuple[str, ...], depth: int = 0
    ) -> Iterator[ImageSource]:
        if depth > MAX_DEPTH:
            raise BadArchive("too many indexes within indexes")
        for entry in index.get("manifests") or ():
            own = names_of(entry.get("annotations") or {}) or names
            platform = entry.get("platform") or {}
            if platform and not self._fits(platform):
                continue
            document = self._blob_json(entry["digest"])
            if "manifests" in document:
                yield from self._of_index(document, own, depth + 1)
            elif "layers" in document and "config" in document:
                yield from self._of_manifest(entry["digest"], document, own)

    def _fits(self, platform: Json) -> bool:
        return platform.get("os") == "linux" and platform.get("architecture") == self.architecture

    def _is_for_us(self, config: Json) -> bool:
        fits = config.get("architecture") in (self.architecture, None, "")
        return fits and config.get("os") in ("linux", None, "")

    def _of_manifest(
        self, own: str, manifest: Json, names: tuple[str, ...]
    ) -> Iterator[ImageSource]:
        digest = manifest["config"]["digest"]
        config = self._blob_json(digest)
        if "rootfs" not in config:
            return  # an attestation or another artifact, no image
        if not self._is_for_us(config):
            return
        diffs = config["rootfs"].get("diff_ids") or []
        layers = manifest["layers"]
        if len(diffs) != len(layers):
            raise BadArchive(f"{digest}: {len(layers)} layers but {len(diffs)} diff ids")
        yield ImageSource(
            digest,
            own,
            names,
            config,
            tuple(
                LayerSource(blob_path(layer["digest"]), layer["digest"], diff)
                for layer, diff in zip(layers, diffs, strict=True)
            ),
        )

    # -- docker-archive

    def _of_docker(self, manifest: Any) -> Iterator[ImageSource]:
        for entry in manifest:
            raw = self.open(entry["Config"]).read(MAX_JSON)
            stem = posixpath.basename(entry["Config"]).removesuffix(".json")
            if re.fullmatch("[0-9a-f]{64}", stem):
                check(f"sha256:{stem}", hashlib.sha256(raw).hexdigest())
            config = json.loads(raw)
            if not self._is_for_us(config):
                continue
            diffs = config["rootfs"]["diff_ids"]
            if len(diffs) != len(entry["Layers"]):
                raise BadArchive(f"{entry['Config']}: layers and diff ids do not agree")
            try:
                names = tuple(normalized(tag) for tag in entry.get("RepoTags") or ())
            except BadReference as error:
                raise BadArchive(str(error)) from error
            layers = tuple(
                LayerSource(self._followed(member), "", diff)
                for member, diff in zip(entry["Layers"], diffs, strict=True)
            )
            key = "sha256:" + hashlib.sha256(raw).hexdigest()
            yield ImageSource(key, "", names, config, layers)

    def _followed(self, member: str) -> str:
        """`docker save` writes a layer that it has written before as a link to that."""
        info = self.members.get(posixpath.normpath(member))
        if info is not None and info.issym():
            return posixpath.normpath(posixpath.join(posixpath.dirname(member), info.linkname))
        return member

    # -- reading

    def _json(self, member: str) -> Any:
        try:
            return json.loads(self.open(member).read(MAX_JSON))
        except ValueError as error:
            raise BadArchive(f"{member} is no JSON: {error}") from error

    def _blob_json(self, digest: str) -> Json:
        data = self.open(blob_path(digest)).read(MAX_JSON)
        check(digest, hashlib.sha256(data).hexdigest())
        document: Json = json.loads(data)
        return document


def blob_path(digest: str) -> str:
    """Where the layout keeps a blob. Raises BadArchive for another algorithm than SHA-256."""
    algorithm, _, value = digest.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not all(c in "0123456789abcdef" for c in value):
        raise BadArchive(f"{digest!r} is no SHA-256 digest")
    return f"blobs/sha256/{value}"


def check(digest: str, found: str) -> None:
    """Raises BadArchive when content is not what its digest says."""
    if digest != f"sha256:{found}":
        raise BadArchive(f"digest mismatch: {digest} is wanted, sha256:{found} was found")


def names_of(annotations: Json) -> tuple[str, ...]:
    """What an index calls an image; a bare tag alone is no name."""
    for key in (CONTAINERD_NAME, REF_NAME):
        text = annotations.get(key) or ""
        if text and (key == CONTAINERD_NAME or "/" in text or ":" in text):
            try:
                return (normalized(text),)
            except BadReference:
                continue
    return ()
