"""Image archives made by hand, for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def entry(name: str, data: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = 0o644
    for key, value in more.items():
        setattr(info, key, value)
    if info.type != tarfile.REGTYPE:
        info.size, data = 0, b""
    return info, data


def folder(name: str, mode: int = 0o755) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE, mode=mode)


def link(name: str, to: str, *, hard: bool = False) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE if hard else tarfile.SYMTYPE, linkname=to)


def tar(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as file:
        for info, data in entries:
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass
class OciImage:
    """An OCI layout with one image, or several for different machines."""

    layers: list[bytes]
    name: str = "docker.io/library/test:1"
    config: dict[str, Any] = field(default_factory=dict)
    architecture: str = "amd64"
    packed: list[bytes] | None = None
    """The layers as they are in the archive; gzip of each where nothing is said."""

    def config_bytes(self) -> bytes:
        rootfs = {"type": "layers", "diff_ids": [sha(layer) for layer in self.layers]}
        return json.dumps(
            {"architecture": self.architecture, "os": "linux", "config": self.config,
             "rootfs": rootfs}
        ).encode()  # fmt: skip

    def blobs(self) -> tuple[dict[str, bytes], dict[str, Any]]:
        packed = self.packed or [gzip.compress(layer) for layer in self.layers]
        config = self.config_bytes()
        manifest = json.dumps({
            "schemaVersion": 2, "config": {"digest": sha(config)},
            "layers": [{"digest": sha(data)} for data in packed],
        }).encode()  # fmt: skip
        blobs = {sha(data): data for data in (*packed, config, manifest)}
        entry = {"digest": sha(manifest),
                 "platform": {"os": "linux", "architecture": self.architecture},
                 "annotations": {"io.containerd.image.name": self.name}}  # fmt: skip
        return blobs, entry


def oci(path: Path, *images: OciImage, spoil: str = "") -> Path:
    """`spoil` is a digest whose blob gets other content."""
    blobs: dict[str, bytes] = {}
    manifests = []
    for image in images:
        more, row = image.blobs()
        blobs |= more
        manifests.append(row)
    index = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    files = [entry("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'), entry("index.json", index)]
    for digest, data in blobs.items():
        content = data + b"x" if digest == spoil else data
        files.append(entry(f"blobs/sha256/{digest.removeprefix('sha256:')}", content))
    path.write_bytes(tar(*files))
    return path


def docker(path: Path, layers: list[bytes], tags: list[str], **config: Any) -> Path:
    """What older `docker save` writes."""
    image = OciImage(layers, config=config)
    raw = image.config_bytes()
    manifest = [{"Config": "c.json", "RepoTags": tags,
                 "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]  # fmt: skip
    files = [entry("c.json", raw), entry("manifest.json", json.dumps(manifest).encode())]
    files += [entry(f"{n}/layer.tar", data) for n, data in enumerate(layers)]
    path.write_bytes(tar(*files))
    return path
