"""One tree of errors, raised low and mapped to HTTP once.

    ApiError                      code  reason
    ├── BadRequest                400   BadRequest
    ├── Unauthorized              401   Unauthorized
    ├── Forbidden                 403   Forbidden
    ├── NotFound                  404   NotFound
    ├── MethodNotAllowed          405   MethodNotAllowed
    ├── NotAcceptable             406   NotAcceptable
    ├── AlreadyExists             409   AlreadyExists
    ├── Conflict                  409   Conflict
    ├── Gone / Expired            410   Gone / Expired
    ├── RequestEntityTooLarge     413   RequestEntityTooLarge
    ├── UnsupportedMediaType      415   UnsupportedMediaType
    ├── Invalid                   422   Invalid
    ├── TooManyRequests           429   TooManyRequests
    ├── InternalError             500   InternalError
    ├── ServiceUnavailable        503   ServiceUnavailable
    └── Timeout / ServerTimeout   504 / 500

Every one carries the whole `Status` that the client gets (upstream: apimachinery's metav1.Status).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sampan.api.meta import Json, ResourceId


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field; `type` is one of the keys of `FIELD_REASONS`."""

    type: str
    path: str
    value: Any = None
    detail: str = ""

    @property
    def reason(self) -> str:
        return FIELD_REASONS[self.type][0]

    @property
    def body(self) -> str:
        """`Invalid value: 0: must be between 1 and 65535, inclusive`."""
        label = FIELD_REASONS[self.type][1]
        if self.value is OMITTED or self.type in _VALUE_NOT_SHOWN:
            text = label
        else:
            text = f"{label}: {quoted(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.path}: {self.body}" if self.path else self.body


OMITTED: Any = object()
"""As `value`: the message shows none."""

_VALUE_NOT_SHOWN = ("Required", "Forbidden", "TooLong", "InternalError")

FIELD_REASONS: dict[str, tuple[str, str]] = {
    "Required": ("FieldValueRequired", "Required value"),
    "Invalid": ("FieldValueInvalid", "Invalid value"),
    "NotSupported": ("FieldValueNotSupported", "Unsupported value"),
    "Duplicate": ("FieldValueDuplicate", "Duplicate value"),
    "Forbidden": ("FieldValueForbidden", "Forbidden"),
    "TooLong": ("FieldValueTooLong", "Too long"),
    "TooMany": ("FieldValueTooMany", "Too many"),
    "NotFound": ("FieldValueNotFound", "Not found"),
    "TypeInvalid": ("FieldValueTypeInvalid", "Invalid value"),
    "InternalError": ("InternalError", "Internal error"),
}


_IN_OBJECTS = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
"""Go's JSON may stand in a web page."""


def quoted(value: Any) -> str:
    """A value as Kubernetes prints it in messages: text quoted, numbers and objects as JSON."""
    if value is None:
        return "null"
    if isinstance(value, str) and not value.isprintable():
        return '"' + "".join(map(_escaped, value)) + '"'
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text if isinstance(value, str) else text.translate(_IN_OBJECTS)


def _escaped(char: str) -> str:
    """One character as Go's %q writes it."""
    if char in '"\\':
        return f"\\{char}"
    if char.isprintable():
        return char
    code = ord(char)
    known = _ESCAPES.get(char)
    if known:
        return known
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_ESCAPES = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


class ApiError(Exception):
    """A refusal with everything the client is told."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self, message: str, *, details: Json | None = None, headers: Json | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.headers: dict[str, str] = headers or {}

    def status(self) -> Json:
        """The `Status` object of the answer."""
        body: Json = {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason,
        }  # fmt: skip
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


class BadRequest(ApiError):
    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    code, reason = 403, "Forbidden"


class NotFound(ApiError):
    code, reason = 404, "NotFound"

    @classmethod
    def of(cls, rid: ResourceId, name: str) -> NotFound:
        return cls(f'{rid.qualified} "{name}" not found', details=details_of(rid, name))


class MethodNotAllowed(ApiError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(ApiError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    code, reason = 409, "AlreadyExists"

    @classmethod
    def of(cls, rid: ResourceId, name: str) -> AlreadyExists:
        return cls(f'{rid.qualified} "{name}" already exists', details=details_of(rid, name))


class Conflict(ApiError):
    code, reason = 409, "Conflict"


class Gone(ApiError):
    code, reason = 410, "Gone"


class Expired(ApiError):
    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    code, reason = 422, "Invalid"

    @classmethod
    def of(cls, rid: ResourceId, name: str, errors: Sequence[FieldError]) -> Invalid:
        texts = [str(error) for error in errors]
        unique = list(dict.fromkeys(texts))
        text = unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"
        qualified = f"{rid.kind}.{rid.group}" if rid.group else rid.kind
        causes = [{"reason": e.reason, "message": e.body, "field": e.path} for e in errors]
        details: Json = {"name": name, "group": rid.group, "kind": rid.kind, "causes": causes}
        if not rid.group:
            del details["group"]
        if not name:
            del details["name"]
        return cls(f'{qualified} "{name}" is invalid: {text}', details=details)


class TooManyRequests(ApiError):
    code, reason = 429, "TooManyRequests"


class InternalError(ApiError):
    code, reason = 500, "InternalError"


class Unclassified(ApiError):
    """What upstream passes on as it is, by accident: code 500 and no reason."""

    def status(self) -> Json:
        body = super().status()
        del body["reason"]
        return body


class ServerTimeout(ApiError):
    code, reason = 500, "ServerTimeout"


class ServiceUnavailable(ApiError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(ApiError):
    code, reason = 504, "Timeout"


def details_of(rid: ResourceId, name: str) -> Json:
    """`details` as most refusals have it: name, group where there is one, resource."""
    details: Json = {"name": name}
    if rid.group:
        details["group"] = rid.group
    details["kind"] = rid.plural
    return details


BY_REASON: dict[str, type[ApiError]] = {
    error.reason: error
    for error in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists,
        Conflict, Gone, Expired, RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests,
        InternalError, ServerTimeout, ServiceUnavailable, Timeout,
    )
}  # fmt: skip


def from_status(status: Json, code: int) -> ApiError:
    """The error behind a `Status` answer, for clients; an unknown reason falls back on the
    HTTP code.
    """
    kind = BY_REASON.get(str(status.get("reason", "")))
    if kind is None:
        kind = next((e for e in BY_REASON.values() if e.code == code), InternalError)
    return kind(str(status.get("message") or f"HTTP {code}"), details=status.get("details"))
