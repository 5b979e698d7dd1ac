"""Manifests from files, folders and standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sampan.api.errors import BadRequest
from sampan.api.meta import Json

SUFFIXES = (".yaml", ".yml", ".json")


def read(sources: list[str]) -> Iterator[Json]:
    """Every object, Lists taken apart. Raises BadRequest naming file and fault."""
    for source in sources:
        for name, text in _texts(source):
            yield from _objects(name, text)


def _texts(source: str) -> Iterator[tuple[str, str]]:
    if source == "-":
        yield "standard input", sys.stdin.read()
        return
    path = Path(source)
    if not path.exists():
        raise BadRequest(f'the path "{source}" does not exist')
    files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.suffix in SUFFIXES)
    for file in files:
        yield str(file), file.read_text()


def _objects(name: str, text: str) -> Iterator[Json]:
    import yaml

    try:
        documents = list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise BadRequest(f"error parsing {name}: {' '.join(str(error).split())}") from None
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict) or "kind" not in document or "apiVersion" not in document:
            raise BadRequest(f"error parsing {name}: an object needs apiVersion and kind")
        items = document.get("items")
        if document["kind"].endswith("List") and isinstance(items, list):
            yield from items
        else:
            yield document
