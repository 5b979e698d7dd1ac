"""Rules that many kinds share: each takes a value and its path and returns what is wrong.

Every function gives a list of `FieldError`s, empty when the value is fine, so that a kind's
`validate` is a sum. The words are upstream's (apimachinery's field package, core validation).
What only one kind needs stays in its own file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sampan.api import names, selectors
from sampan.api.errors import FieldError
from sampan.api.meta import Json

Errors = list[FieldError]
Rule = Callable[[str], list[str]]
"""A rule of `api.names`: a value, its complaints."""

_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

IMMUTABLE = "field is immutable"
NO_FIELD = '"{}" is not a known field selector: only "metadata.name", "metadata.namespace"'
WHOLE = "[]"
"""The path of what is wrong with an object as a whole."""

METADATA = FieldError("Required", "<metadata>")
"""In the errors of an update: here the kind asks after the metadata for the second time."""


def none() -> Errors:
    """Nothing wrong so far: where a sum begins."""
    return []


def required(path: str, detail: str = "") -> Errors:
    return [FieldError("Required", path, None, detail)]


def invalid(path: str, value: Any, detail: str) -> Errors:
    return [FieldError("Invalid", path, value, detail)]


def forbidden(path: str, detail: str) -> Errors:
    return [FieldError("Forbidden", path, None, detail)]


def duplicate(path: str, value: Any) -> Errors:
    return [FieldError("Duplicate", path, value)]


def too_long(path: str, most: int) -> Errors:
    unit = "byte" if most == 1 else "bytes"
    return [FieldError("TooLong", path, None, f"may not be more than {most} {unit}")]


def too_many(path: str, actual: int, most: int) -> Errors:
    plural = "item" if most == 1 else "items"
    return [FieldError("TooMany", path, actual, f"must have at most {most} {plural}")]


def not_supported(path: str, value: Any, allowed: Sequence[str]) -> Errors:
    """`allowed` is printed in the order given."""
    listed = ", ".join(f'"{choice}"' for choice in allowed)
    return [FieldError("NotSupported", path, value, f"supported values: {listed}")]


def one_of(path: str, value: Any, allowed: Sequence[str], *, needed: bool = True) -> Errors:
    """An enum: empty is `Required` (or fine, when not needed)."""
    if value is None or value == "":
        return required(path) if needed else []
    return [] if value in allowed else not_supported(path, value, allowed)


def choice(path: str, value: Any, allowed: Sequence[str], *, needed: bool = True) -> Errors:
    """An enum behind a pointer: unset is `Required` (or fine), empty is as wrong as any other."""
    if value is None:
        return required(path) if needed else []
    return [] if value in allowed else not_supported(path, value, allowed)


def each(path: str, value: Any, complaints: Iterable[str]) -> Errors:
    """One `Invalid` per complaint of a rule in `api.names`."""
    return [FieldError("Invalid", path, value, text) for text in complaints]


def named(path: str, value: Any, rule: Rule, detail: str = "") -> Errors:
    """A name that must be there and obey `rule`."""
    if value is None or value == "":
        return required(path, detail)
    return each(path, value, rule(value))


def nonnegative(path: str, value: int | None) -> Errors:
    if value is not None and value < 0:
        return invalid(path, value, "must be greater than or equal to 0")
    return []


def all_nonnegative(path: str, holder: Json, fields: Sequence[str]) -> Errors:
    return [error for name in fields for error in nonnegative(f"{path}.{name}", holder.get(name))]


def at_most(path: str, holder: Json, fields: Sequence[str], limit: str, says: str) -> Errors:
    """None of the counters may exceed the one named `limit`."""
    most = holder.get(limit) or 0
    return [
        error
        for name in fields
        if (holder.get(name) or 0) > most
        for error in invalid(
            f"{path}.{name}", holder.get(name) or 0, f"cannot be greater than {says}"
        )
    ]


def not_decremented(path: str, new: int | None, old: int | None) -> Errors:
    if old is not None and (new is None or new < old):
        return invalid(path, new or 0, "cannot be decremented")
    return []


def immutable(path: str, new: Any, old: Any) -> Errors:
    return [] if new == old else invalid(path, new, IMMUTABLE)


def labels(path: str, values: Mapping[str, str] | None) -> Errors:
    errors: Errors = []
    for key, value in sorted((values or {}).items()):
        errors += each(path, key, names.qualified_name(key))
        errors += each(path, value, names.label_value(value))
    return errors


def label_selector(path: str, selector: Json | None) -> Errors:
    """metav1.LabelSelector."""
    return selectors.validate_object(selector, path) if selector else []


def is_empty_selector(selector: Json) -> bool:
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def domain_prefixed_path(path: str, value: str) -> Errors:
    """`example.com/controller`: a subdomain, a slash, a path."""
    if not value:
        return required(path)
    domain, slash, rest = value.partition("/")
    if not slash or not domain or not rest:
        says = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return invalid(path, value, says)
    errors = each(path, domain, names.dns1123_subdomain(domain))
    if re.fullmatch(_PATH, rest) is None:
        says = f"Invalid path (regex used for validation is '{_PATH}')"
        errors += invalid(path, rest, says)
    return errors


def int_or_percent(path: str, value: int | str | None) -> Errors:
    """A count that is not negative, or a percentage such as `25%`."""
    if value is None:
        return []
    if isinstance(value, str):
        return each(path, value, names.percent(value))
    return nonnegative(path, value)


def not_above_100_percent(path: str, value: int | str | None) -> Errors:
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        return invalid(path, value, "must not be greater than 100%")
    return []


def int_or_percent_value(value: int | str | None) -> int:
    """The number in it, 0 where there is none: only good for asking whether it is 0."""
    if isinstance(value, str):
        return int(value[:-1]) if not names.percent(value) else 0
    return value or 0


def ordered(value: Mapping[str, Any] | None) -> Json:
    """A map as messages print it: by key."""
    return dict(sorted((value or {}).items()))
