"""`sampan delete pod web`, `sampan delete -f FILE`: delete objects and wait until they are gone."""

from __future__ import annotations

import argparse
import asyncio

from sampan.api.errors import NotFound
from sampan.api.meta import ResourceId
from sampan.cli import manifests
from sampan.cli.apply import label
from sampan.cli.connect import Session, add_flags, session
from sampan.cli.get import targets
from sampan.cli.outcome import Exit, guarded


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan delete", description=__doc__)
    parser.add_argument("resource", nargs="?", default="")
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("-f", "--filename", action="append", default=[], help="file, folder or -")
    parser.add_argument("--ignore-not-found", action="store_true")
    parser.add_argument("--grace-period", type=int, help="seconds")
    parser.add_argument("--no-wait", action="store_true", help="return at once")
    add_flags(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: asyncio.run(_delete(args)))


async def _delete(args: argparse.Namespace) -> int:
    async with session(args) as talk:
        for rid, namespace, name in await _wanted(talk, args):
            gone = await talk.client.delete(
                rid, name, namespace, grace_s=args.grace_period, propagation="Background"
            )
            if gone is None:
                if not args.ignore_not_found:
                    raise NotFound.of(rid, name)
                continue
            print(f'{label(rid)} "{name}" deleted')
            if not args.no_wait:
                await _gone(talk, rid, namespace, name)
    return Exit.OK


async def _gone(talk: Session, rid: ResourceId, namespace: str, name: str) -> None:
    """Wait until the object is no longer there, or another one of its name is."""
    listed = await talk.client.list(rid, namespace, fields=f"metadata.name={name}")
    version = listed["metadata"]["resourceVersion"]
    if listed["items"]:
        chosen = f"metadata.name={name}"
        async for event in talk.client.watch(
            rid, namespace, resource_version=version, fields=chosen
        ):
            if event.type == "DELETED":
                return


async def _wanted(talk: Session, args: argparse.Namespace) -> list[tuple[ResourceId, str, str]]:
    found = []
    for obj in manifests.read(args.filename):
        rid = await talk.by_kind(obj["apiVersion"], obj["kind"])
        namespace = obj["metadata"].get("namespace") or talk.namespace if rid.namespaced else ""
        found.append((rid, namespace, obj["metadata"]["name"]))
    if args.resource:
        kinds, names = targets(args.resource, args.names)
        for kind in kinds:
            rid = await talk.by_name(kind)
            found += [(rid, talk.scope(rid), name) for name in names]
    return found
