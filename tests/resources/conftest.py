"""A server in miniature: what the registry does with a kind, without store and admission."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from sampan.api.decode import decode
from sampan.api.errors import Invalid
from sampan.api.meta import Json
from sampan.api.patch import merge_patch
from sampan.api.resource import Resource
from sampan.api.strategic import strategic_merge
from sampan.resources import metadata

BORN = "2026-01-02T03:04:05Z"


@dataclass
class Rig:
    """Objects of one resource, by name; pools that always have one more."""

    resource: Resource
    families: tuple[str, ...] = ("IPv4",)
    objects: dict[str, Json] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def decode(self, body: Json) -> Json:
        obj = decode(copy.deepcopy(body), self.resource.schema).obj
        self.resource.defaults(obj)
        return obj

    def create(self, body: Json) -> Json:
        """The object as stored. Raises Invalid."""
        obj = self.decode({"metadata": {}, **body})
        meta = obj["metadata"]
        if self.resource.id.namespaced:
            meta.setdefault("namespace", "ns")
        meta["uid"], meta["creationTimestamp"] = f"uid-{next(self.numbers)}", BORN
        self.resource.prepare(obj, None, "")
        self._allocate(obj, None)
        rule = {"namespaced": self.resource.id.namespaced, "name_rule": self.resource.name_rule}
        errors = metadata.validate_create(obj, **rule) + self.resource.validate(obj, None, "")
        self._refuse(obj, errors)
        meta["resourceVersion"] = str(next(self.numbers))
        self.objects[meta["name"]] = obj
        return copy.deepcopy(obj)

    def patch(self, name: str, body: Json, *, sub: str = "", strategic: bool = False) -> Json:
        old = self.objects[name]
        if strategic:
            made = strategic_merge(copy.deepcopy(old), body, self.resource.schema)
        else:
            made = merge_patch(copy.deepcopy(old), body)
        return self.replace(made, sub=sub)

    def replace(self, body: Json, *, sub: str = "") -> Json:
        """An update. Raises Invalid."""
        new = self.decode(body)
        old = self.objects[new["metadata"]["name"]]
        for key in ("namespace", "resourceVersion"):
            if key in old["metadata"]:
                new["metadata"][key] = old["metadata"][key]
        metadata.carry_over(new, old)
        if sub == "status":
            new.update({k: v for k, v in old.items() if k not in ("metadata", "status")})
        elif self.resource.has_status and not sub:
            new["status"] = copy.deepcopy(old.get("status", {}))
        self.resource.prepare(new, old, sub)
        self._allocate(new, old)
        checks = self.resource.status_metadata_checks if sub else self.resource.metadata_checks
        own = self.resource.validate(new, old, sub)
        self._refuse(new, metadata.validate_update(new, old, own, self.resource, checks))
        self.objects[new["metadata"]["name"]] = new
        return copy.deepcopy(new)

    def refusal(self, body: Json) -> str:
        """What the client is told of a new object, without the head of the message."""
        with pytest.raises(Invalid) as caught:
            self.create(body)
        return caught.value.message.partition(" is invalid: ")[2]

    def refusal_of_patch(self, name: str, body: Json, **more: Any) -> str:
        with pytest.raises(Invalid) as caught:
            self.patch(name, body, **more)
        return caught.value.message.partition(" is invalid: ")[2]

    def row(self, obj: Json, now: float = 0.0) -> dict[str, Any]:
        return {column.title: column.cell(obj, now) for column in self.resource.columns}

    def _allocate(self, new: Json, old: Json | None) -> None:
        self._refuse(new, self.resource.families(new, old, self.families))
        needs = self.resource.needs(new, old)
        if needs is None:
            return
        ips = tuple(
            ip or (f"10.96.0.{next(self.numbers)}" if family == "IPv4" else "fd00::1")
            for ip, family in zip(needs.ips, needs.ip_families, strict=True)
        )
        ports = tuple(number or 30000 + next(self.numbers) for number, _ in needs.node_ports)
        health = needs.health_check_port
        if health is not None:
            health = health or 30000 + next(self.numbers)
        self.resource.assign(new, ips, ports, health or 0)

    def _refuse(self, obj: Json, errors: list[Any]) -> None:
        if errors:
            raise Invalid.of(self.resource.id, obj["metadata"].get("name", ""), errors)


@pytest.fixture
def rig() -> Any:
    """`rig(POD)`: a miniature server for one kind."""
    return Rig
