"""One stored object as bytes that can be sent without another look at them.

A stored value is the object's JSON with `kind` and `apiVersion` first, then `metadata`, and no
resourceVersion: the store's revision is it, and is spliced in here. What is kept (`body`) begins
with the metadata: lists of built-in kinds leave kind and apiVersion out, and everything else only
has to put its own in front.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from sampan.api.meta import Json

_METADATA = b'"metadata":{'
_HEAD = b'{"metadata":{"resourceVersion":"'
_AFTER = len(_HEAD)
NO_LABELS: Mapping[str, str] = {}


class Item:
    """An object at one revision; never changed once made."""

    __slots__ = ("_labels", "body", "created", "name", "namespace", "revision")

    def __init__(
        self, namespace: str, name: str, revision: int, body: bytes, created: int = 0
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.body = body
        # One number for both while the object has not changed: at 100,000 objects it counts.
        self.created = revision if created == revision else created
        self._labels: Mapping[str, str] | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        if self._labels is None:
            if b'"labels":{' in self.body:
                self._labels = orjson.loads(self.body)["metadata"].get("labels") or NO_LABELS
            else:
                self._labels = NO_LABELS
        return self._labels

    def decode(self) -> Json:
        """A fresh dict, without kind and apiVersion; the caller may change it."""
        obj: Json = orjson.loads(self.body)
        return obj

    def at(self, revision: int) -> Item:
        """The same object under another revision (a deletion shows the last state with its own)."""
        end = self.body.index(b'"', _AFTER)
        body = b"%b%d%b" % (_HEAD, revision, self.body[end:])
        return Item(self.namespace, self.name, revision, body, self.created)


def body_of(value: bytes, revision: int) -> bytes:
    """The stored value with its revision, from the metadata on."""
    start = value.index(_METADATA) + len(_METADATA)
    return b'%b%d",%b' % (_HEAD, revision, value[start:])


def value_of(obj: Json) -> bytes:
    """What is stored for an object: kind, apiVersion, metadata first; no resourceVersion."""
    meta = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    ordered = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": meta}
    for key, value in obj.items():
        if key not in ordered:
            ordered[key] = value
    return orjson.dumps(ordered)


def head_of(kind: str, api_version: str) -> bytes:
    """What goes in front of `body[1:]` to make it a whole object."""
    return b'{"kind":%b,"apiVersion":%b,' % (orjson.dumps(kind), orjson.dumps(api_version))
