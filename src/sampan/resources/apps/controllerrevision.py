"""ControllerRevision: what a DaemonSet or StatefulSet looked like once; never changed."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells, rules
from sampan.resources.rules import Errors


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors = rules.nonnegative("revision", new.get("revision"))
    if new.get("data") is None:
        errors += rules.required("data", "data is mandatory")
    elif not isinstance(new["data"], dict):
        errors += rules.required("data", "data must be a valid JSON object")
    if old is None:
        return errors
    if new.get("data") == old.get("data"):
        return errors
    return errors + rules.invalid("data", new.get("data"), rules.IMMUTABLE)


def validate_patch(new: Json, old: Json | None, subresource: str) -> Errors:
    """A controller renumbers a revision by PUT. To upstream a PATCH writes the raw data anew, with
    other spaces than those that were sent, so that it blames `data` for any change.
    """
    same = old is None or new.get("revision") == old.get("revision")
    if same or (old and new.get("data") != old.get("data")):
        return []  # nothing changed, or it was blamed already
    return rules.invalid("data", new.get("data"), rules.IMMUTABLE)


def _controller(obj: Json) -> str:
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = owner.get("kind", "").lower()
            return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return cells.NONE


CONTROLLERREVISION = Resource(
    id=kinds.CONTROLLERREVISIONS,
    schema="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
    validate=validate,
    validate_patch=validate_patch,
    columns=(
        cells.NAME,
        cells.column("Controller", _controller),
        cells.column("Revision", cells.field("revision", default=0)),
        cells.AGE,
    ),
    generation=False,
)
