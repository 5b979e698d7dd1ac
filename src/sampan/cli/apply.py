"""`sampan apply -f FILE`: server-side apply of manifests."""

from __future__ import annotations

import argparse
import asyncio

from sampan.api.meta import Json, ResourceId
from sampan.cli import manifests
from sampan.cli.connect import Session, add_flags, session
from sampan.cli.outcome import Exit, guarded

MANAGER = "sampan"


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan apply", description=__doc__)
    parser.add_argument(
        "-f", "--filename", action="append", required=True, help="file, folder or -"
    )
    parser.add_argument("--force-conflicts", action="store_true", help="take fields from others")
    add_flags(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: asyncio.run(_apply(args)))


async def _apply(args: argparse.Namespace) -> int:
    async with session(args) as talk:
        for obj in manifests.read(args.filename):
            rid = await talk.by_kind(obj["apiVersion"], obj["kind"])
            await _one(talk, rid, obj, force=args.force_conflicts)
    return Exit.OK


async def _one(talk: Session, rid: ResourceId, obj: Json, *, force: bool) -> None:
    if rid.namespaced:
        obj["metadata"].setdefault("namespace", talk.namespace)
    await talk.client.apply(rid, obj, manager=MANAGER, force=force)
    print(f"{label(rid)}/{obj['metadata']['name']} serverside-applied")


def label(rid: ResourceId) -> str:
    """`deployment.apps`, `service`."""
    return f"{rid.kind.lower()}.{rid.group}" if rid.group else rid.kind.lower()
