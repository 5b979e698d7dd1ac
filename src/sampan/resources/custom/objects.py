"""Everything that may be wrong with an object of a custom kind, and what it is warned about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sampan.api import names
from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources import metadata
from sampan.resources.custom import checks, embedded, listtypes, replicas, validations
from sampan.resources.rules import Errors

Validate = Callable[[Json, Json | None, str], Errors]


Warnings = Callable[[Json, Json | None], list[str]]


def judges(schema: Json, scale: Json | None) -> tuple[Validate, Warnings]:
    """What refuses, and what only warns. The rules compile when the first object comes."""
    trees: list[validations.Tree | None] = []

    def warn(new: Json, old: Json | None) -> list[str]:
        found = warnings(new, old)
        if old is not None and trees:
            found += map(str, validations.spared(new, trees[0], old))
        return found

    def validate(new: Json, old: Json | None, subresource: str) -> Errors:
        if not trees:
            trees.append(validations.compiled(schema))
        before = checks.MISSING if old is None else old
        if subresource == "status" and old is not None:
            errors = _status(new, old, schema)
            errors += replicas.validate(new, scale, status_only=True)
        else:
            errors = checks.validate(new, schema, "", before)
            errors += replicas.validate(new, scale)
            errors += embedded.validate(new, schema)
        if old is None or not listtypes.duplicates(old, schema):
            errors += listtypes.duplicates(new, schema)
        return errors + validations.check(new, trees[0], before, errors)

    return validate, warn


def _status(new: Json, old: Json, schema: Json) -> Errors:
    """Only the status, by its own schema: the messages speak of paths inside it."""
    below = (schema.get("properties") or {}).get("status")
    if below is None or "status" not in new:
        return []
    before = old.get("status", checks.MISSING)
    return [_inside(error) for error in checks.validate(new["status"], below, "", before)]


def _inside(error: FieldError) -> FieldError:
    nowhere = error.path in ("", checks.NOWHERE)
    return replace(error, path="status" if nowhere else f"status.{error.path}")


def warnings(new: Json, old: Json | None) -> list[str]:
    """Finalizers that were added and could be anybody's."""
    before = (old or {}).get("metadata", {}).get("finalizers") or ()
    added = set(new["metadata"].get("finalizers") or ()) - set(before)
    lead = "metadata.finalizers"
    says: list[str] = []
    for name in sorted(added):
        says += [f'{lead}: "{name}": {fault}' for fault in names.qualified_name(name)]
        if "/" not in name and name not in metadata.STANDARD_FINALIZERS:
            path = " including a path (/)" if "." in name else ""
            says.append(
                f'{lead}: "{name}": prefer a domain-qualified finalizer name{path} to avoid '
                "accidental conflicts with other finalizer writers"
            )
    return says
