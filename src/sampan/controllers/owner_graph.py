"""Who owns whom, over all kinds: the picture that garbage collection decides on. Pure.

Kept by uid. An object is in the graph while some informer shows it; an owner that is only named
is not, and whoever needs to know asks the server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.api.meta import Json, Key, ResourceId, key_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Owner(NamedTuple):
    """One owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool


@dataclass(frozen=True, slots=True)
class Node:
    """What the graph knows of an object."""

    rid: ResourceId
    key: Key
    uid: str
    owners: tuple[Owner, ...]
    leaving: bool
    """It has a deletion time stamp."""
    finalizers: tuple[str, ...]

    @property
    def waits_for_dependents(self) -> bool:
        return self.leaving and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.leaving and ORPHAN in self.finalizers


def node_of(rid: ResourceId, obj: Json) -> Node:
    meta = obj["metadata"]
    owners = tuple(
        Owner(
            item["apiVersion"],
            item["kind"],
            item["name"],
            item["uid"],
            bool(item.get("blockOwnerDeletion")),
        )
        for item in meta.get("ownerReferences") or ()
    )
    return Node(
        rid,
        key_of(obj),
        meta["uid"],
        owners,
        bool(meta.get("deletionTimestamp")),
        tuple(meta.get("finalizers") or ()),
    )


@dataclass(slots=True)
class Graph:
    """Nodes and, for each uid, the uids of those that name it as an owner."""

    nodes: dict[str, Node] = field(default_factory=dict)
    _dependents: dict[str, dict[str, None]] = field(default_factory=dict)

    def put(self, node: Node) -> None:
        old = self.nodes.get(node.uid)
        if old is not None:
            self._unlink(old)
        self.nodes[node.uid] = node
        for owner in node.owners:
            self._dependents.setdefault(owner.uid, {})[node.uid] = None

    def drop(self, uid: str) -> None:
        old = self.nodes.pop(uid, None)
        if old is not None:
            self._unlink(old)

    def dependents(self, uid: str) -> list[Node]:
        return [self.nodes[child] for child in self._dependents.get(uid, ()) if child in self.nodes]

    def misplaced(self, node: Node, before: Node | None) -> list[tuple[Node, Owner]]:
        """Objects that now name an owner in another namespace, where none of theirs can be."""
        added = set(node.owners) - set(before.owners if before else ())
        pairs = [(node, owner) for owner in node.owners if owner in added]
        if before is None:
            pairs += [
                (c, o) for c in self.dependents(node.uid) for o in c.owners if o.uid == node.uid
            ]
        found = []
        for child, owner in pairs:
            known = self.nodes.get(owner.uid)
            where = known.key.namespace if known else ""
            if where and where != child.key.namespace:
                found.append((child, owner))
        return found

    def blockers(self, uid: str) -> list[Node]:
        """The dependents that a foreground deletion of this object waits for."""
        return [
            child
            for child in self.dependents(uid)
            if any(owner.uid == uid and owner.blocks for owner in child.owners)
        ]

    def _unlink(self, node: Node) -> None:
        for owner in node.owners:
            known = self._dependents.get(owner.uid)
            if known is not None:
                known.pop(node.uid, None)
                if not known:
                    del self._dependents[owner.uid]


def invalid_namespace(child: Node, owner: Owner) -> str:
    """What is told of an owner that is in another namespace than it is looked for."""
    where = child.key.namespace
    named = (
        f"{owner.api_version}/{owner.kind}, namespace: {where}, name: {owner.name}, "
        f"uid: {owner.uid}"
    )
    return f'ownerRef [{named}] does not exist in namespace "{where}"'


def reference_of(node: Node) -> Json:
    found = {
        "kind": node.rid.kind,
        "apiVersion": node.rid.api_version,
        "namespace": node.key.namespace,
        "name": node.key.name,
        "uid": node.uid,
    }
    return {field: value for field, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Owners:
    """The owners of an object, by their state."""

    solid: tuple[Owner, ...] = ()
    dangling: tuple[Owner, ...] = ()
    waiting: tuple[Owner, ...] = ()
    """Being deleted in the foreground, waiting for this object."""
