"""The Namespace: a room for names; it ends only when everything in it has ended."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource, Subresource
from sampan.resources import cells
from sampan.resources.metadata import STANDARD_FINALIZERS
from sampan.resources.rules import Errors, each, invalid

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")


def defaults(namespace: Json) -> None:
    _label(namespace)
    status = namespace.setdefault("status", {})
    if not status.get("phase"):
        status["phase"] = "Active"


def prepare(new: Json, old: Json | None, subresource: str) -> None:
    _label(new)
    spec = new.setdefault("spec", {})
    if old is None:
        new["status"] = {"phase": "Active"}
        finalizers = spec.setdefault("finalizers", [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
    elif subresource == "finalize":
        new["status"] = old.get("status") or {}
    else:
        new["spec"] = old.get("spec") or {}


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    finalizers = (new.get("spec") or {}).get("finalizers") or ()
    errors: Errors = []
    if old is None or subresource == "finalize":
        for at, name in enumerate(finalizers):
            path = "spec.finalizers" + (f"[{at}]" if old else "")
            errors += each(path, name, names.qualified_name(name))
            if "/" not in name and name not in STANDARD_FINALIZERS:
                says = "name is neither a standard finalizer name nor is it fully qualified"
                errors += invalid(path, name, says)
    if subresource == "status":
        errors += _phase(new)
    return errors


def _phase(new: Json) -> Errors:
    deleted = bool(new["metadata"].get("deletionTimestamp"))
    phase, right = (new.get("status") or {}).get("phase"), "Terminating" if deleted else "Active"
    if phase == right:
        return []
    when = "is not empty" if deleted else "is empty"
    return invalid("status.Phase", phase, f"may only be '{right}' if `deletionTimestamp` {when}")


def _label(namespace: Json) -> None:
    """Selectors reach a namespace by its name through this label; nobody can take it away."""
    meta = namespace["metadata"]
    if meta.get("name"):
        meta["labels"] = {**(meta.get("labels") or {}), NAME_LABEL: meta["name"]}


def _status(namespace: Json) -> str:
    return str((namespace.get("status") or {}).get("phase") or "")


NAMESPACE = Resource(
    id=kinds.NAMESPACES,
    schema="io.k8s.api.core.v1.Namespace",
    singular="namespace",
    short=("ns",),
    verbs=VERBS,
    defaults=defaults,
    prepare=prepare,
    validate=validate,
    columns=(cells.NAME, cells.column("Status", _status), cells.AGE),
    fields={"status.phase": _status},
    no_namespace_field=True,
    subresources=(
        Subresource("finalize", kinds.NAMESPACES, ("update",)),
        Subresource("status", kinds.NAMESPACES),
    ),
    generation=False,
    name_rule=names.name_is_label,
)
