"""The query parameters and option bodies of requests, checked as upstream checks them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qs

from sampan.api.errors import BadRequest, FieldError, Invalid
from sampan.api.meta import Json, ResourceId

META = "meta.k8s.io"
VALIDATIONS = ("", "Ignore", "Strict", "Warn")
PROPAGATIONS = ("Foreground", "Background", "Orphan")
MANAGER_MAX = 128
_INTEGER = re.compile(r"[+-]?[0-9]+")

Query = Mapping[str, Sequence[str]]
T = TypeVar("T")


def read_query(query: str) -> Query:
    return parse_qs(query, keep_blank_values=True) if query else {}


def one(query: Query, name: str) -> str:
    found = query.get(name)
    return found[0] if found else ""


def flag(query: Query, name: str) -> bool:
    """Go's Convert_Slice_string_To_bool: present and neither false nor 0."""
    found = query.get(name)
    return bool(found) and found[0].lower() not in ("false", "0") if found else False


def number(query: Query, name: str) -> int | None:
    text = one(query, name)
    if not text:
        return None
    if not _INTEGER.fullmatch(text):
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    found = int(text)
    if not -(1 << 63) <= found < 1 << 63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return found


_UNITS = r"(?:ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"[+-]?(?:0|(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+){_UNITS})+)")


def check_timeout(query: str) -> None:
    """`?timeout=` must be a duration as Go writes it. Raises BadRequest."""
    if "timeout=" not in query:
        return
    text = one(read_query(query), "timeout")
    if text and not _DURATION.fullmatch(text):
        why = "missing unit in" if re.fullmatch(r"[+-]?[0-9.]*[0-9]", text) else "invalid"
        raise BadRequest(
            f'invalid timeout specified in the request URL - time: {why} duration "{text}"'
        )


def invalid(kind: str, errors: list[FieldError]) -> Invalid:
    return Invalid.of(ResourceId(META, "v1", "", kind), "", errors)


@dataclass(frozen=True, slots=True)
class ListOptions:
    labels: str = ""
    fields: str = ""
    limit: int = 0
    resume: str = ""
    version: str = ""
    match: str = ""
    timeout_s: int | None = None
    bookmarks: bool = False
    initial: bool | None = None
    watch: bool = False


def list_options(query: Query, *, watch: bool) -> ListOptions:
    """Raises BadRequest for what cannot be read, Invalid for what does not go together."""
    initial = flag(query, "sendInitialEvents") if "sendInitialEvents" in query else None
    limit = number(query, "limit") or 0
    found = ListOptions(
        one(query, "labelSelector"), one(query, "fieldSelector"), max(limit, 0),
        one(query, "continue"), one(query, "resourceVersion"), one(query, "resourceVersionMatch"),
        number(query, "timeoutSeconds"), flag(query, "allowWatchBookmarks"), initial, watch,
    )  # fmt: skip
    errors = _watch_errors(found) if watch else _list_errors(found)
    if errors:
        raise invalid("ListOptions", errors)
    return found


def _list_errors(options: ListOptions) -> list[FieldError]:
    errors = []
    match = options.match
    if match:
        if not options.version:
            text = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            errors.append(FieldError("Forbidden", "resourceVersionMatch", detail=text))
        if options.resume:
            text = "resourceVersionMatch is forbidden when continue is provided"
            errors.append(FieldError("Forbidden", "resourceVersionMatch", detail=text))
        if match not in ("Exact", "NotOlderThan"):
            errors.append(_match_not_supported(match))
        if match == "Exact" and options.version == "0":
            text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            errors.append(FieldError("Forbidden", "resourceVersionMatch", detail=text))
    if options.initial is not None:
        text = "sendInitialEvents is forbidden for list"
        errors.append(FieldError("Forbidden", "sendInitialEvents", detail=text))
    return errors


def _watch_errors(options: ListOptions) -> list[FieldError]:
    match, field = options.match, "resourceVersionMatch"
    initial = options.initial
    if initial is None and not match and options.version in ("", "0"):
        # To begin with everything is what upstream makes of a watch that says nothing.
        initial, match = True, "NotOlderThan"
    if initial is None:
        forbidden = (
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        )
        return [FieldError("Forbidden", field, detail=forbidden)] if match else []
    errors = []
    if match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(FieldError("Forbidden", field, detail=text))
    if match not in ("", "NotOlderThan"):
        errors.append(FieldError("NotSupported", field, match, 'supported values: "NotOlderThan"'))
    if match and options.resume:
        text = "resourceVersionMatch is forbidden when continue is provided"
        errors.append(FieldError("Forbidden", field, detail=text))
    return errors


def _match_not_supported(match: str) -> FieldError:
    detail = 'supported values: "Exact", "NotOlderThan", ""'
    return FieldError("NotSupported", "resourceVersionMatch", match, detail)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What POST, PUT and PATCH have in common."""

    dry_run: bool = False
    manager: str = ""
    validation: str = "Warn"
    force: bool | None = None


def write_options(query: Query, kind: str, *, apply: bool = False) -> WriteOptions:
    """`kind` is CreateOptions, UpdateOptions or PatchOptions."""
    dry = list(query.get("dryRun", ()))
    manager = one(query, "fieldManager")
    validation = one(query, "fieldValidation")
    force = flag(query, "force") if "force" in query else None
    errors = []
    if apply and not manager:
        errors.append(FieldError("Required", "fieldManager", detail="is required for apply patch"))
    if kind == "PatchOptions" and not apply and force is not None:
        errors.append(
            FieldError("Forbidden", "force", detail="may not be specified for non-apply patch")
        )
    errors += _manager_errors(manager) + _dry_run_errors(dry)
    if validation not in VALIDATIONS:
        listed = ", ".join(f'"{value}"' for value in VALIDATIONS)
        errors.append(
            FieldError("NotSupported", "fieldValidation", validation, f"supported values: {listed}")
        )
    if errors:
        raise invalid(kind, errors)
    return WriteOptions(bool(dry), manager, validation or "Warn", force)


def _manager_errors(manager: str) -> list[FieldError]:
    errors = []
    if len(manager.encode()) > MANAGER_MAX:
        text = f"may not be more than {MANAGER_MAX} bytes"
        errors.append(FieldError("TooLong", "fieldManager", detail=text))
    place = 0
    for char in manager:
        if not char.isprintable():
            text = f"invalid character U+{ord(char):04X} (at position {place})"
            errors.append(FieldError("Invalid", "fieldManager", manager, text))
        place += len(char.encode())
    return errors


def _dry_run_errors(dry: Sequence[str]) -> list[FieldError]:
    if all(value == "All" for value in dry):
        return []
    return [FieldError("NotSupported", "dryRun", list(dry), 'supported values: "All"')]


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    grace: int | None = None
    uid: str | None = None
    version: str | None = None
    propagation: str = ""
    orphan: bool | None = None
    dry_run: bool = False


def delete_options(body: Json | None, query: Query) -> DeleteOptions:
    """From the body, or from the query where there is no body."""
    if body is None:
        body = {}
        for name, read in _DELETE_QUERY.items():
            if name in query:
                body[name] = read(query, name)
    errors: list[FieldError] = []
    policy, orphan = body.get("propagationPolicy"), body.get("orphanDependents")
    if policy is not None and orphan is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        errors.append(FieldError("Invalid", "propagationPolicy", policy, text))
    if policy is not None and policy not in PROPAGATIONS:
        listed = ", ".join(f'"{value}"' for value in (*PROPAGATIONS, "nil"))
        errors.append(
            FieldError("NotSupported", "propagationPolicy", policy, f"supported values: {listed}")
        )
    dry = body.get("dryRun") or []
    errors += _dry_run_errors(dry)
    if errors:
        raise invalid("DeleteOptions", errors)
    if orphan is not None:
        policy = "Orphan" if orphan else "Background"
    conditions = body.get("preconditions") or {}
    return DeleteOptions(
        body.get("gracePeriodSeconds"), conditions.get("uid"), conditions.get("resourceVersion"),
        policy or "", orphan, bool(dry),
    )  # fmt: skip


_DELETE_QUERY: dict[str, Callable[[Query, str], object]] = {
    "gracePeriodSeconds": number,
    "orphanDependents": flag,
    "propagationPolicy": one,
    "dryRun": lambda query, name: list(query.get(name, ())),
}


def manager_of(options: WriteOptions, user_agent: str) -> str:
    """The field manager: as given, else the client's name as its User-Agent begins."""
    if options.manager:
        return options.manager
    name = user_agent.partition("/")[0][:MANAGER_MAX]
    printable = "".join(char for char in name if char.isprintable())
    return printable or "unknown"
