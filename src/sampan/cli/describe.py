"""`sampan describe`: an object in full, without what only machines read, and its events."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from sampan.api.kinds import EVENTS
from sampan.api.meta import Json
from sampan.cli.connect import Session, add_flags, session
from sampan.cli.get import targets
from sampan.cli.outcome import Exit, guarded

NOISE = ("managedFields", "uid", "resourceVersion", "generation")


def run(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("sampan describe", description=__doc__)
    parser.add_argument("resource", help="or resource/name")
    parser.add_argument("names", nargs="*", metavar="name")
    add_flags(parser)
    args = parser.parse_args(argv)
    return guarded(lambda: asyncio.run(_describe(args)))


async def _describe(args: argparse.Namespace) -> int:
    async with session(args) as talk:
        kinds, names = targets(args.resource, args.names)
        rid = await talk.by_name(kinds[0])
        if not names:
            listed = await talk.client.list(rid, talk.scope(rid))
            names = [item["metadata"]["name"] for item in listed["items"]]
        for name in names:
            obj = await talk.client.get(rid, name, talk.scope(rid))
            print("\n".join(text(obj)))
            await _events(talk, obj)
    return Exit.OK


def text(obj: Json) -> list[str]:
    """Indented `Key: value` lines in the order of the API."""
    meta = {key: value for key, value in obj["metadata"].items() if key not in NOISE}
    rest = {k: v for k, v in obj.items() if k not in ("metadata", "apiVersion", "kind")}
    return list(_lines(meta | rest, 0))


def _lines(value: Json, depth: int) -> list[str]:
    pad = "  " * depth
    found: list[str] = []
    for key, inner in value.items():
        title = key[:1].upper() + key[1:]
        if isinstance(inner, dict) and inner:
            found += [f"{pad}{title}:", *_lines(inner, depth + 1)]
        elif isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            found.append(f"{pad}{title}:")
            for item in inner:
                found += _item(item, depth + 1)
        else:
            found.append(f"{pad}{title}:  {_scalar(inner)}")
    return found


def _item(item: Any, depth: int) -> list[str]:
    if not isinstance(item, dict):
        return ["  " * depth + f"- {_scalar(item)}"]
    body = _lines(item, depth + 1)
    return ["  " * depth + "- " + body[0].strip(), *body[1:]] if body else []


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "<none>"
    return "<none>" if value in (None, "", {}) else str(value)


async def _events(talk: Session, obj: Json) -> None:
    selector = f"involvedObject.uid={obj['metadata']['uid']}"
    listed = await talk.client.list(EVENTS, obj["metadata"].get("namespace", ""), fields=selector)
    print("Events:" if listed["items"] else "Events:  <none>")
    for event in listed["items"]:
        source = event.get("reportingComponent") or event.get("source", {}).get("component", "")
        print(f"  {event['type']:<8} {event['reason']:<22} {source:<20} {event['message']}")
    print()
