"""What objects of a kind look like: structs, fields and types, looked up by name.

    struct("io.k8s.api.core.v1.Service")     a whole kind; "core.v1.Service" means the same
      .fields["spec"].type.struct            its parts; nothing is built before it is asked for

The built-in kinds come from the generated tables, custom ones from their OpenAPI schema
(`from_openapi`). Everything that depends on shape works on these: decoding, pruning, strategic
merge, server-side apply, OpenAPI documents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sampan.api import facts

STRUCT_LIKE = frozenset(("struct", "time", "microtime", "quantity", "int-or-string", "any", "raw"))
"""Kinds that are structs to Go: `omitempty` never leaves them out."""


@dataclass(slots=True)
class Type:
    """The type of a field, list element or map value. Built once and never changed."""

    kind: str
    """A scalar, "any", "raw" (an embedded object), "list", "map" or "struct"."""
    name: str = ""
    """Of the struct."""
    item: Type | None = None
    """Of a list or map."""
    list_type: str = "atomic"
    """Who may own a part of a list: "atomic", "set" or "map" by `keys`."""
    keys: tuple[str, ...] = ()
    atomic: bool = False
    """A map or struct that is owned as a whole."""
    merge: bool = False
    """Strategic merge goes into the list instead of replacing it."""
    merge_key: str = ""
    replace: bool = False
    """Strategic merge replaces the map or struct."""
    retain_keys: bool = False
    go: str = ""
    """The name in messages, without the pointer."""
    inline: Struct | None = None
    """The struct itself where it has no name (custom resources)."""

    @property
    def struct(self) -> Struct:
        return self.inline or struct(self.name)

    @property
    def of(self) -> Type:
        """The type of the elements."""
        return self.item or ANY


@dataclass(slots=True)
class Field:
    """A field of a struct."""

    name: str
    type: Type
    pointer: bool = True
    """Unset differs from the zero value."""
    omit: int = 1
    """0: an empty value is written all the same; 1: left out; 2: a zero struct is left out too."""
    required: bool = False
    default: Any = None
    enum: tuple[str, ...] = ()
    null: bool = False
    """An empty list or map is written as null: protobuf, in which upstream stores the kind, does
    not tell them apart.
    """


@dataclass(slots=True)
class Struct:
    """Fields by their JSON names."""

    name: str
    full_name: str
    fields: dict[str, Field] = field(default_factory=dict)
    gvk: str = ""
    """`apps/v1/Deployment`, or `core/v1/Pod`, for the kinds that are objects or options."""
    filled: tuple[Field, ...] = ()
    """Those that are written though nobody set them."""
    preserve: bool = False
    """Unknown fields stay (x-kubernetes-preserve-unknown-fields)."""

    @property
    def go(self) -> str:
        return self.name.rsplit(".", 1)[-1]


ANY = Type("any")
STRING = Type("string", go="string")

_PREFIXES = (
    "io.k8s.api.", "io.k8s.apimachinery.pkg.apis.", "io.k8s.apiextensions-apiserver.pkg.apis.",
    "io.k8s.kube-aggregator.pkg.apis.", "io.k8s.apimachinery.pkg.",
)  # fmt: skip
_STORED_AS_JSON = ("apiextensions.", "apiregistration.")
_LISTING = re.compile(r"(?P<kind>[a-z-]+)(?:\((?P<keys>[^)]*)\))?")
_ELEMENT = re.compile(r"^(\*|\[\]|map\[[^\]]*\])+")


@cache
def short_name(name: str) -> str:
    """`core.v1.Pod` for `io.k8s.api.core.v1.Pod`."""
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def struct(name: str) -> Struct:
    """The struct of that name, long or short; KeyError if the tables have none."""
    return _struct(short_name(name))


def of(name: str) -> Type:
    """The struct of that name as a type."""
    return _struct_type(short_name(name))


@cache
def by_gvk(group: str, version: str, kind: str) -> Struct | None:
    """The struct behind an apiVersion and kind."""
    wanted = f"{group or 'core'}/{version}/{kind}"
    for package in facts.shape_packages():
        for name, body in facts.load(f"shapes/{package}").items():
            if body.get("gvk") == wanted:
                return _struct(f"{package}.{name}")
    return None


@cache
def objects() -> frozenset[tuple[str, str, str]]:
    """Group, version and kind of every built-in object."""
    found = set()
    for package in facts.shape_packages():
        for body in facts.load(f"shapes/{package}").values():
            if body.get("gvk"):
                group, version, kind = body["gvk"].split("/")
                found.add(("" if group == "core" else group, version, kind))
    return frozenset(found)


@cache
def _struct_type(name: str) -> Type:
    return Type("struct", name, go=_go_name(name), atomic=bool(_body(name).get("atomic")))


@cache
def _struct(name: str) -> Struct:
    body = _body(name)
    fields = {key: _field(key, row) for key, row in body["fields"].items()}
    if not name.startswith(_STORED_AS_JSON):
        for known in fields.values():
            hollow = known.omit == 0 and known.type.kind in ("list", "map")
            known.null = hollow and known.name != "items"
    filled = tuple(known for known in fields.values() if _appears(known))
    return Struct(name, body["full"], fields, body.get("gvk", ""), filled)


def _appears(known: Field) -> bool:
    if known.default is not None:
        return True
    if known.pointer:
        return known.omit == 0
    return known.omit == 0 or (known.omit == 1 and known.type.kind in STRUCT_LIKE)


def _body(name: str) -> Any:
    package, _, short = name.rpartition(".")
    if package not in facts.shape_packages():
        raise KeyError(name)
    return facts.load(f"shapes/{package}")[short]


def _field(name: str, row: list[Any]) -> Field:
    kind, go, omit, required, default, listing, patch, enum = row + [None] * (8 - len(row))
    pointer = go.startswith("*")
    parsed = _type(kind, go.lstrip("*"))
    if listing or patch:
        parsed = _with_rules(parsed, listing or "", patch or "")
    return Field(
        name,
        parsed,
        pointer,
        omit or 0,
        bool(required),
        default[0] if default else None,
        tuple(enum or ()),
    )


def _type(text: str, go: str) -> Type:
    """`[core.v1.Container]`, `{string}`, `int32`."""
    if text[0] in "[{":
        element = go
        if go.startswith(("[]", "map[")):
            element = go[2:] if go.startswith("[]") else go.partition("]")[2]
        elif text == "{quantity}":
            element = "resource.Quantity"
        item = _type(text[1:-1], element.lstrip("*"))
        return Type("list" if text[0] == "[" else "map", item=item, go=go)
    if "." in text:
        return _struct_type(text)
    return Type(text, go=go)


def _with_rules(base: Type, listing: str, patch: str) -> Type:
    """A type of its own with the field's list, map and patch rules."""
    out = Type(base.kind, base.name, base.item, go=base.go)
    match = _LISTING.fullmatch(listing)
    if match and match["kind"] in ("set", "map"):
        out.list_type = match["kind"]
        out.keys = tuple(filter(None, (match["keys"] or "").split(",")))
    out.atomic = listing == "map-atomic" or (base.atomic and listing != "map-granular")
    words, _, key = patch.partition("(")
    strategies = words.split(",")
    out.merge, out.replace = "merge" in strategies, "replace" in strategies
    out.retain_keys = "retainKeys" in strategies
    out.merge_key = key.rstrip(")")
    return out


def _go_name(name: str) -> str:
    """`v1.ServicePort`: the last part of the package and the name."""
    return ".".join(name.split(".")[-2:])


# --- custom resources


_SCALAR_KINDS = {"string": "string", "integer": "int64", "number": "double", "boolean": "bool"}


def from_openapi(definition: dict[str, Any]) -> Type:
    """The type of a custom kind from its structural schema; the metadata is every object's."""
    return _object_type(definition, embedded=True)


def _openapi_type(definition: dict[str, Any]) -> Type:
    kind = definition.get("type")
    if definition.get("x-kubernetes-int-or-string"):
        return Type("int-or-string")
    if kind == "array":
        items = definition.get("items") or {}
        out = Type("list", item=_openapi_type(items))
        out.list_type = definition.get("x-kubernetes-list-type") or "atomic"
        out.keys = tuple(sorted(definition.get("x-kubernetes-list-map-keys") or ()))
        return out
    if kind == "object":
        return _object_type(definition, bool(definition.get("x-kubernetes-embedded-resource")))
    return Type(_SCALAR_KINDS.get(kind or "", "deduced"))


def _object_type(definition: dict[str, Any], embedded: bool) -> Type:
    atomic = definition.get("x-kubernetes-map-type") == "atomic"
    preserve = bool(definition.get("x-kubernetes-preserve-unknown-fields"))
    properties, more = definition.get("properties"), definition.get("additionalProperties")
    if isinstance(more, dict) and not properties and not embedded:
        return Type("map", item=_openapi_type(more), atomic=atomic)
    if not properties and not embedded and (preserve or more):
        return Type("deduced", atomic=atomic)
    required = definition.get("required") or ()
    fields = {
        name: Field(
            name, _openapi_type(part), required=name in required, default=part.get("default")
        )
        for name, part in (properties or {}).items()
    }
    if embedded:
        fields["apiVersion"] = Field("apiVersion", STRING)
        fields["kind"] = Field("kind", STRING)
        fields["metadata"] = Field("metadata", _struct_type("meta.v1.ObjectMeta"))
    shape = Struct("", "", fields, preserve=preserve)
    return Type("struct", atomic=atomic, inline=shape)
