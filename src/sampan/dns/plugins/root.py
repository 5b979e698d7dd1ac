"""*root* is the folder that file names of the block are relative to."""

from __future__ import annotations

import os

from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args


def setup(args: Args) -> Plugin | None:
    while args.next():
        # Two words are a directive with its path; so many on a line read as upstream reads them.
        args.block.root = args.taken().rstrip("/") + "/"
    shown = args.block.root.rstrip("/") or "/"
    if not os.path.exists(shown):
        args.world.log.warning(f"plugin/root: Root path does not exist: {shown}")
    return None
