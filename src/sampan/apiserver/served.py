"""What is served: every resource in every version, with where its objects are and how they look.

The built-in kinds are there from the start; custom ones come and go with their definitions, and
whoever derives something from this table (discovery, OpenAPI) asks for `generation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sampan.api import decode, schema
from sampan.api.decode import Decoded
from sampan.api.meta import Json, ResourceId
from sampan.api.resource import Resource, Subresource
from sampan.api.schema import Type
from sampan.apiserver.cacher.cacher import Cacher, key_for
from sampan.apiserver.cacher.collection import Collection
from sampan.apiserver.cacher.item import Item
from sampan.apiserver.framed import Framed
from sampan.apiserver.render import Form, MetadataOnly, Table, Whole
from sampan.resources.autoscaling.scale import ScalePaths


@dataclass(slots=True)
class Served:
    """One resource in one version."""

    resource: Resource
    collection: Collection
    whole: Whole
    now: Callable[[], float]
    custom: bool = False
    read: Callable[[Any], Decoded] | None = None
    """Decoding with a schema of its own (custom resources)."""
    shape: Type | None = None
    """The type of custom objects."""
    definition: Json | None = None
    """Their OpenAPI schema."""
    scale: ScalePaths | None = None
    """Where custom objects keep their replicas."""
    closing: bool = False
    """The definition is on its way out: nothing new."""
    reread: Callable[[Json], Json] | None = None
    """From stored objects, where they may have been stored under another schema."""
    forms: dict[str, Form] = field(default_factory=dict)
    frames: dict[Form, Framed] = field(default_factory=dict)
    zero: Json | None = None
    nothing: Json | None = None

    @property
    def id(self) -> ResourceId:
        return self.resource.id

    @property
    def stored(self) -> ResourceId:
        """The identity under which objects are kept."""
        return self.resource.storage or self.resource.id

    def decode(self, obj: Any) -> Decoded:
        """Canonical form with all defaults. Raises DecodeError."""
        if self.read is not None:
            return self.read(obj)
        found = decode.decode(obj, self.resource.schema)
        self.resource.defaults(found.obj)
        return found

    @property
    def type(self) -> Type:
        """The object's type, for field ownership and merging."""
        return self.shape or schema.of(self.resource.schema)

    def empty(self) -> Json:
        """An object of the kind with nothing set; not to be changed."""
        if self.nothing is None:
            obj = {} if self.shape is not None else decode.normal({}, self.resource.schema)
            obj = _without_defaults(obj, self.type)
            self.nothing = {**obj, "kind": self.id.kind, "apiVersion": self.id.api_version}
        return self.nothing

    def zero_status(self) -> Any:
        """The status that the schema gives an object without one; None where it gives none."""
        if self.zero is None:
            empty = {} if self.read is not None else decode.normal({}, self.resource.schema)
            self.zero = {"status": empty.get("status")}
        found = self.zero["status"]
        return dict(found) if isinstance(found, dict) else found

    def key(self, namespace: str, name: str) -> str:
        stored = self.stored
        return key_for(stored.group, stored.plural, namespace, name)

    def current(self, item: Item) -> Json:
        """The object in this version, with kind and apiVersion; the caller may change it."""
        obj = item.decode()
        if self.reread is not None:
            obj = self.reread(obj)
        elif self.resource.storage is not None:
            obj = self.resource.from_storage(obj)
        return {**obj, "kind": self.id.kind, "apiVersion": self.id.api_version}

    def subresource(self, name: str) -> Subresource | None:
        return next((sub for sub in self.resource.subresources if sub.name == name), None)

    def form(self, transform: str, include: str = "", version: str = "v1") -> Form:
        """The same object for the same wish: watchers share bytes by it."""
        key = f"{transform}/{include}/{version}"
        found = self.forms.get(key)
        if found is None:
            found = self.forms[key] = self._make_form(transform, include, version)
        return found

    def framed(self, lines: Form) -> Framed:
        """The same for the same form."""
        found = self.frames.get(lines)
        if found is None:
            found = self.frames[lines] = Framed(lines)
        return found

    def _make_form(self, transform: str, include: str, version: str) -> Form:
        api_version = f"meta.k8s.io/{version}"
        if transform == "Table":
            return Table(self.whole, include, self.now, api_version)
        return MetadataOnly(self.whole, api_version)


class Catalog:
    """(group, version) -> plural -> Served."""

    def __init__(self, cacher: Cacher, now: Callable[[], float]) -> None:
        self.cacher = cacher
        self.now = now
        self.versions: dict[tuple[str, str], dict[str, Served]] = {}
        self.generation = 0

    def add(self, resource: Resource, *, custom: bool = False) -> Served:
        stored = resource.storage or resource.id
        found = Served(
            resource,
            self.cacher.collection(stored.group, stored.plural),
            Whole(resource, custom=custom),
            self.now,
            custom,
        )
        rid = resource.id
        self.versions.setdefault((rid.group, rid.version), {})[rid.plural] = found
        self.generation += 1
        return found

    def add_all(self, resources: Iterable[Resource]) -> None:
        for resource in resources:
            self.add(resource)

    def remove(self, rid: ResourceId) -> None:
        group_version = (rid.group, rid.version)
        self.versions.get(group_version, {}).pop(rid.plural, None)
        if not self.versions.get(group_version):
            self.versions.pop(group_version, None)
        self.generation += 1

    def find(self, group: str, version: str, plural: str) -> Served | None:
        found = self.versions.get((group, version))
        return found.get(plural) if found is not None else None

    def any_version(self, group: str, plural: str) -> Served | None:
        """The resource in whichever version is served first."""
        for (a_group, _), resources in self.versions.items():
            if a_group == group and plural in resources:
                return resources[plural]
        return None

    def of_kind(self, group: str, kind: str) -> Served | None:
        for (a_group, _), resources in self.versions.items():
            if a_group == group:
                for served in resources.values():
                    if served.id.kind == kind:
                        return served
        return None

    def __iter__(self) -> Iterator[Served]:
        for resources in list(self.versions.values()):
            yield from list(resources.values())


def _without_defaults(obj: Json, kind: Type) -> Json:
    """Without what only a default has put where nothing may stand."""
    fields = kind.struct.fields
    out = {}
    for key, value in obj.items():
        field = fields[key]
        if field.pointer and field.default is not None:
            continue
        inner = isinstance(value, dict) and field.type.kind == "struct"
        out[key] = _without_defaults(value, field.type) if inner else value
    return out
