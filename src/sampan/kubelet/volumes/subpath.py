"""Parts of volumes: a `subPath` never leads out of its volume, whatever links are in it."""

from __future__ import annotations

import os

from sampan.kubelet.objects import VolumeFailure


def inside(volume: str, path: str, *, make: bool = True) -> str:
    """The real place of `path` in `volume`; a missing one becomes a directory."""
    if os.path.isabs(path) or ".." in path.split("/"):
        raise VolumeFailure(f"subPath {path!r} must be relative and must not contain '..'")
    top = os.path.realpath(volume)
    found = os.path.realpath(os.path.join(top, path))
    if found != top and not found.startswith(top + "/"):
        raise VolumeFailure(f"subPath {path!r} leads out of its volume")
    if make and not os.path.exists(found):
        os.makedirs(found, mode=os.stat(top).st_mode & 0o7777, exist_ok=True)
    return found
