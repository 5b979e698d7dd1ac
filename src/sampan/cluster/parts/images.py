"""The image store of a machine, with the real decompressor and the launchers' records."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

from sampan.kubelet.imagestore.store import DiskImages, Tools
from sampan.kubelet.observed import IMAGE_ID
from sampan.linux.base.processes import Container
from sampan.linux.real import zstd
from sampan.linux.real.machine import ARCHITECTURES
from sampan.linux.real.records import Records, read_json
from sampan.std.clock import Clock, SystemClock


def image_store(
    folder: str, clock: Clock | None = None, run_dirs: Iterable[Path] = ()
) -> DiskImages:
    """`run_dirs` are those of the nodes whose containers may stand on its layers."""
    dirs = tuple(run_dirs)
    machine = platform.machine()
    tools = Tools(
        clock=clock or SystemClock(),
        architecture=ARCHITECTURES.get(machine, machine),
        zstd=zstd.decompress,
        is_used=lambda layer: any(layer in used_layers(str(place)) for place in dirs),
        is_running=lambda image: any(image in running_images(str(place)) for place in dirs),
    )
    return DiskImages(folder, tools)


def run_dirs_of(root_dir: str) -> list[Path]:
    """The run-time folders of kubelets that run alone with this state; theirs are those that a
    launcher has noted it in.
    """
    found = []
    for note in Path("/run/sampan").glob("kubelet-*/launcher.json"):
        facts = read_json(str(note)) or {}
        if os.path.abspath(facts.get("state_dir") or "/nowhere") == root_dir:
            found.append(note.parent)
    return found


def used_layers(run_dir: str) -> set[str]:
    """Layers under the containers that a node's launcher knows."""
    return {layer for spec in _running(run_dir) for layer in spec.root.layers}


def running_images(run_dir: str) -> set[str]:
    """The images that those containers were made of, by id."""
    return {spec.labels.get(IMAGE_ID, "") for spec in _running(run_dir)}


def _running(run_dir: str) -> list[Container]:
    records = Records(run_dir)
    specs = ((name, records.container(name)) for name in records.names("containers"))
    return [spec for name, spec in specs if spec is not None and records.exit(name) is None]
