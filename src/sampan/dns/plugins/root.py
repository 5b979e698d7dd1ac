"""*root* is the folder that file names of the block are relative to."""

from __future__ import annotations

import os

from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args


def setup(args: Args) -> Plugin | None:
    for words in args.places():
        if len(words) != 1:
            raise args.wrong_count()
        args.block.root = words[0].rstrip("/") + "/"
    if not os.path.exists(args.block.root):
        shown = args.block.root.rstrip("/") or "/"
        args.world.log.warning(f"plugin/root: Root path does not exist: {shown}")
    return None
