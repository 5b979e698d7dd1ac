"""References to objects of any kind, as backends and class parameters have them."""

from __future__ import annotations

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import rules
from sampan.resources.rules import Errors


def typed_local(path: str, reference: Json) -> Errors:
    group, errors = reference.get("apiGroup"), rules.none()
    if group is not None:
        errors += rules.each(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
    for field in ("kind", "name"):
        value = reference.get(field)
        errors += rules.named(f"{path}.{field}", value, names.path_segment)
    return errors
