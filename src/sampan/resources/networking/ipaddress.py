"""IPAddress: one address of a service range that is taken; its name is the address."""

from __future__ import annotations

from dataclasses import replace

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import addresses, cells, rules
from sampan.resources.rules import Errors


def name_rule(name: str, prefix: bool) -> list[str]:
    """The canonical text of an address, so that no address can be taken twice."""
    parsed = addresses.parse_ip(name)
    if parsed is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    if wrong := addresses.ip("", name):
        return [wrong[0].detail]
    if str(parsed) != name:
        return [f'must be in canonical form ("{parsed}")']
    return []


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    parent = (new.get("spec") or {}).get("parentRef")
    errors = rules.required("spec.parentRef") if parent is None else _parent(parent)
    if old is not None:
        before = (old.get("spec") or {}).get("parentRef")
        errors += [rules.METADATA, *rules.immutable("spec.parentRef", parent, before)]
    return errors


def _parent(parent: Json) -> Errors:
    path, group = "spec.parentRef", parent.get("group")
    errors = rules.each(f"{path}.group", group, names.dns1123_subdomain(group)) if group else []
    errors += rules.named(f"{path}.resource", parent.get("resource"), names.path_segment)
    errors += rules.named(f"{path}.name", parent.get("name"), names.path_segment)
    namespace = parent.get("namespace")
    if namespace:
        errors += rules.each(f"{path}.namespace", namespace, names.path_segment(namespace))
    return errors


def _parent_cell(obj: Json) -> str:
    parent = (obj.get("spec") or {}).get("parentRef")
    if parent is None:
        return cells.NONE
    resource, group = parent.get("resource", ""), parent.get("group")
    where = f"{parent['namespace']}/" if parent.get("namespace") else ""
    return f"{resource}{'.' + group if group else ''}/{where}{parent.get('name', '')}"


IPADDRESS = Resource(
    id=kinds.IPADDRESSES,
    schema="io.k8s.api.networking.v1.IPAddress",
    singular="ipaddress",
    metadata_checks="reversed",
    short=("ip",),
    validate=validate,
    columns=(
        cells.NAME,
        cells.column("ParentRef", _parent_cell),
        replace(cells.AGE, defined=False),
    ),
    fields={
        "spec.parentRef.name": cells.field("spec", "parentRef", "name"),
        "spec.parentRef.resource": cells.field("spec", "parentRef", "resource"),
    },
    unknown_field=rules.NO_FIELD,
    generation=False,
    name_rule=name_rule,
)
