"""The ConfigMap: settings as text or bytes, by key."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells
from sampan.resources.rules import METADATA, WHOLE, Errors, each, forbidden, invalid, too_long

SIZE_LIMIT = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors = [*frozen(new, old, ("data", "binaryData")), METADATA] if old else []
    text, binary = new.get("data") or {}, new.get("binaryData") or {}
    size = 0
    for key, value in text.items():
        errors += each(f"data[{key}]", key, names.config_key(key))
        if key in binary:
            errors += invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value.encode())
    for key, value in binary.items():
        errors += each(f"binaryData[{key}]", key, names.config_key(key))
        size += decoded_size(value)
    if size > SIZE_LIMIT:
        errors += too_long(WHOLE, SIZE_LIMIT)
    return errors


def frozen(new: Json, old: Json, fields: tuple[str, ...]) -> Errors:
    """What was made immutable stays so; only its metadata may change."""
    if not old.get("immutable"):
        return []
    errors: Errors = []
    if not new.get("immutable"):
        errors += forbidden("immutable", FROZEN)
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            errors += forbidden(field, FROZEN)
    return errors


def decoded_size(text: str) -> int:
    """The number of bytes behind a base64 text, without decoding it."""
    return len(text) * 3 // 4 - text[-2:].count("=")


def _count(config: Json) -> int:
    return len(config.get("data") or ()) + len(config.get("binaryData") or ())


CONFIGMAP = Resource(
    id=kinds.CONFIGMAPS,
    schema="io.k8s.api.core.v1.ConfigMap",
    singular="configmap",
    short=("cm",),
    validate=validate,
    columns=(cells.NAME, cells.column("Data", _count), cells.AGE),
    generation=False,
)
