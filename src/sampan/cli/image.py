"""`sampan image load|ls|rm`: images from files, loaded once and usable on every node."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sampan.kubelet.images import Image
    from sampan.kubelet.imagestore.store import DiskImages

FAILED = 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="sampan image", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True, metavar="load|ls|rm")
    load = commands.add_parser("load", help="load an OCI layout or a docker-archive")
    load.add_argument("file", help="a tar file, - for standard input")
    listing = commands.add_parser("ls", help="what is loaded")
    listing.add_argument("-o", choices=("table", "json"), default="table", help="form of the list")
    removal = commands.add_parser("rm", help="remove by name or id")
    removal.add_argument("image", nargs="+")
    for command in (load, listing, removal):
        command.add_argument("--name", default="sampan", help="cluster (default: sampan)")
        command.add_argument(
            "--root-dir", default="", help="of a 'sampan kubelet' that runs alone, not of a cluster"
        )
    return made


def run(argv: list[str]) -> int:
    """The exit status: 0, 1 when it failed, 2 for bad usage."""
    options = parser().parse_args(argv)
    if os.geteuid() != 0:
        return _fail("only root can unpack images: run it with sudo")
    actions = {"load": _load, "ls": _list, "rm": _remove}
    return actions[options.command](_store(options), options)


def _store(options: argparse.Namespace) -> DiskImages:
    from sampan.cluster.parts.images import image_store, run_dirs_of
    from sampan.cluster.paths import Paths

    if options.root_dir:
        root = os.path.abspath(options.root_dir)
        return image_store(f"{root}/images", run_dirs=run_dirs_of(root))
    paths = Paths.of(options.name)
    nodes = paths.run / "nodes"
    run_dirs = list(nodes.iterdir()) if nodes.is_dir() else []
    return image_store(str(paths.state / "images"), run_dirs=run_dirs)


def _load(store: DiskImages, options: argparse.Namespace) -> int:
    from sampan.kubelet.imagestore.archive import BadArchive
    from sampan.kubelet.imagestore.layers import BadLayer

    path = options.file
    temporary: Path | None = None
    try:
        if path == "-":
            temporary = _spooled()
            path = str(temporary)
        for image in store.load(path):
            for name in image.names or (image.id,):
                print(f"Loaded image: {name}")
    except (BadArchive, BadLayer, OSError) as error:
        return _fail(f"{options.file}: {error}")
    finally:
        if temporary is not None:
            temporary.unlink()
    return 0


def _spooled() -> Path:
    """Standard input as a file: an archive is not read from front to back."""
    import shutil
    import tempfile

    with tempfile.NamedTemporaryFile(delete=False, suffix=".tar") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
        return Path(file.name)


def _list(store: DiskImages, options: argparse.Namespace) -> int:
    images = sorted(store.all(), key=lambda image: image.names)
    if options.o == "json":
        print(json.dumps([_row(image) for image in images], indent=2))
        return 0
    rows = [("IMAGE", "ID", "SIZE", "LOADED")]
    for image in images:
        for name in image.names or ("<none>",):
            age = _age(time.time() - image.loaded)
            rows.append((name, image.id.removeprefix("sha256:")[:12], _size(image.size), age))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("   ".join(cells).rstrip())
    return 0


def _row(image: Image) -> dict[str, Any]:
    return {"id": image.id, "names": list(image.names), "size": image.size, "loaded": image.loaded}


def _remove(store: DiskImages, options: argparse.Namespace) -> int:
    from sampan.kubelet.images import BadReference
    from sampan.kubelet.imagestore.store import InUse

    code = 0
    for name in options.image:
        try:
            if store.remove(name):
                print(f"Removed image: {name}")
            else:
                code = _fail(f"there is no image {name}; see 'sampan image ls'")
        except (InUse, BadReference) as error:
            code = _fail(error)
    return code


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return f"{max(0, int(seconds))}s ago"


def _fail(why: object) -> int:
    print(f"sampan image: {why}", file=sys.stderr)
    return FAILED
