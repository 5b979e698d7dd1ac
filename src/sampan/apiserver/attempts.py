"""The admission contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sampan.api.errors import Forbidden
from sampan.api.meta import Json, ResourceId
from sampan.apiserver.authn.user import User
from sampan.apiserver.call import Call
from sampan.apiserver.served import Served
from sampan.store.base import Compare, Delete, Put

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


@dataclass(slots=True)
class Attempt:
    """A write that is being admitted. `obj` is None for DELETE, `old` for CREATE."""

    operation: str
    served: Served
    call: Call
    namespace: str
    name: str
    obj: Json | None
    old: Json | None
    subresource: str = ""
    dry_run: bool = False
    options: Json | None = None
    """The DeleteOptions or connect options, for webhooks."""
    prefix: str = ""
    """The generateName by which an object is told while it is still changed: upstream takes the
    five letters only then.
    """
    compares: list[Compare] = field(default_factory=list)
    writes: list[Put | Delete] = field(default_factory=list)
    """What a plugin wants stored together with the object, or not at all."""
    releases: list[Callable[[], None]] = field(default_factory=list)

    def release(self) -> None:
        """The write is done or given up; called in either case."""
        while self.releases:
            self.releases.pop()()

    @property
    def id(self) -> ResourceId:
        return self.served.id

    @property
    def user(self) -> User:
        return self.call.user

    def is_for(self, group: str, plural: str, subresource: str = "") -> bool:
        rid = self.served.id
        return (rid.group, rid.plural, self.subresource) == (group, plural, subresource)

    def forbid(self, why: str) -> Forbidden:
        """`pods "p" is forbidden: why`."""
        rid = self.served.id
        meta = (self.obj or {}).get("metadata") or {}
        name = self.prefix or self.name or meta.get("name") or meta.get("generateName") or "Unknown"
        details: Json = {"name": name}
        if rid.group:
            details["group"] = rid.group
        details["kind"] = rid.plural
        return Forbidden(f'{rid.qualified} "{name}" is forbidden: {why}', details=details)


Kinds = frozenset[tuple[str, str]]
"""(group, plural)."""


class Plugin(Protocol):
    """Either method may do nothing. Both raise ApiError to refuse.

    A plugin that looks at certain kinds only has an attribute `kinds` and is asked about no others.
    """

    async def admit(self, attempt: Attempt) -> None:
        """Change `attempt.obj`."""
        ...

    async def validate(self, attempt: Attempt) -> None: ...


class Chain:
    """The plugins that are enabled, in order."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self.plugins = tuple(plugins)
        self._asked: dict[tuple[str, str], tuple[Plugin, ...]] = {}

    def _for(self, attempt: Attempt) -> tuple[Plugin, ...]:
        rid = attempt.served.id
        place = (rid.group, rid.plural)
        found = self._asked.get(place)
        if found is None:
            found = self._asked[place] = tuple(
                plugin
                for plugin in self.plugins
                if (kinds := getattr(plugin, "kinds", None)) is None or place in kinds
            )
        return found

    async def admit(self, attempt: Attempt) -> None:
        for plugin in self._for(attempt):
            await plugin.admit(attempt)

    async def validate(self, attempt: Attempt) -> None:
        for plugin in self._for(attempt):
            await plugin.validate(attempt)
