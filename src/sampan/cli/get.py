"""`sampan get`: objects as the server's own tables, or as YAML and JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable
from urllib.parse import urlencode

from sampan.api.meta import Json, ResourceId
from sampan.cli.connect import Session, add_flags, session
from sampan.cli.outcome import Exit, guarded
from sampan.client.transport import Request

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan get", description=__doc__)
    parser.add_argument("resource", help="one or more, by comma; or resource/name")
    parser.add_argument("names", nargs="*", metavar="name")
    parser.add_argument("-A", "--all-namespaces", action="store_true")
    parser.add_argument("-l", "--selector", default="", help="labels")
    parser.add_argument("--field-selector", default="")
    parser.add_argument("-o", "--output", choices=("wide", "yaml", "json", "name"), default="")
    parser.add_argument("-w", "--watch", action="store_true", help="go on as they change")
    add_flags(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: asyncio.run(_get(args)))


async def _get(args: argparse.Namespace) -> int:
    async with session(args) as talk:
        kinds, names = targets(args.resource, args.names)
        first = True
        for kind in kinds:
            rid = await talk.by_name(kind)
            if not first:
                print()
            first = False
            await _show(talk, rid, names, args)
    return Exit.OK


def targets(resource: str, names: list[str]) -> tuple[list[str], list[str]]:
    """`pods,svc` or `pod/web` or `pod web db`."""
    if "/" in resource:
        kind, _, name = resource.partition("/")
        return [kind], [name, *(n.rpartition("/")[2] for n in names)]
    return resource.split(","), names


async def _show(talk: Session, rid: ResourceId, names: list[str], args: argparse.Namespace) -> None:
    namespace = "" if args.all_namespaces else talk.scope(rid)
    if args.output in ("yaml", "json", "name"):
        objects = await _objects(talk, rid, namespace, names, args)
        print(_dumped(rid, objects, args.output, single=len(names) == 1), end="")
        return
    query = {"labelSelector": args.selector, "fieldSelector": args.field_selector}
    query = {key: value for key, value in query.items() if value}
    for name in names or [""]:
        table = await _table(talk, rid.path(namespace, name), query if not name else {})
        every = args.all_namespaces and rid.namespaced
        print("\n".join(lines(table, wide=args.output == "wide", namespaces=every)))
        if not table["rows"] and not name:
            where = f" in {namespace} namespace" if namespace else ""
            print(f"No resources found{where}.", file=sys.stderr)
    if args.watch and not names:
        async for event in talk.client.watch(rid, namespace, resource_version=""):
            print(f"{event.type:<9} {event.object['metadata']['name']}", flush=True)


async def _objects(
    talk: Session, rid: ResourceId, namespace: str, names: list[str], args: argparse.Namespace
) -> list[Json]:
    if names:
        return [await talk.client.get(rid, name, namespace) for name in names]
    found = await talk.client.list(rid, namespace, labels=args.selector, fields=args.field_selector)
    stamp = {"apiVersion": rid.api_version, "kind": rid.kind}
    return [stamp | item for item in found["items"]]


def _dumped(rid: ResourceId, objects: list[Json], output: str, *, single: bool) -> str:
    if output == "name":
        kind = f"{rid.kind.lower()}.{rid.group}" if rid.group else rid.kind.lower()
        return "".join(f"{kind}/{obj['metadata']['name']}\n" for obj in objects)
    whole: Json = {"apiVersion": "v1", "kind": "List", "items": objects}
    body = objects[0] if single else whole
    if output == "json":
        return json.dumps(body, indent=4) + "\n"
    import yaml

    return str(yaml.safe_dump(body, sort_keys=False))


async def _table(talk: Session, path: str, query: dict[str, str]) -> Json:
    import orjson

    from sampan.api import errors

    request = Request("GET", path, urlencode(query), {"accept": TABLE})
    reply = await talk.client.raw(request)
    body: Json = orjson.loads(await reply.read())
    if reply.status != 200:
        raise errors.from_status(body, reply.status)
    return body


def lines(table: Json, *, wide: bool, namespaces: bool) -> Iterable[str]:
    """The table as text, columns padded by three blanks as kubectl does."""
    shown = [
        at for at, column in enumerate(table["columnDefinitions"])
        if wide or not column.get("priority")
    ]  # fmt: skip
    head = [table["columnDefinitions"][at]["name"].upper() for at in shown]
    rows = [[_text(row["cells"][at]) for at in shown] for row in table["rows"]]
    if namespaces:
        head.insert(0, "NAMESPACE")
        for cells, row in zip(rows, table["rows"], strict=True):
            cells.insert(0, row["object"]["metadata"].get("namespace", ""))
    if not rows:
        return []
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    return [
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]


def _text(cell: object) -> str:
    return "<none>" if cell is None else str(cell)
