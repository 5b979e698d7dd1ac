"""Patches: RFC 6902 lists of operations and RFC 7386 merges; `strategic` has the third kind.

All are pure: they return a new value and leave their arguments as they are. What they refuse they
raise as the error that the client gets.
"""

from __future__ import annotations

import copy
import re
from typing import Any

from sampan.api.conform import go_text
from sampan.api.errors import BadRequest, Invalid, RequestEntityTooLarge, quoted
from sampan.api.meta import Json

OPERATIONS_MAX = 10_000

_REJECTED = "the server rejected our request due to an error in our request"
_INDEX = re.compile(r"[+-]?[0-9]+")


class _Refused(Exception):
    """An operation cannot be carried out; the client learns only that."""


def json_patch(obj: Json, operations: Any) -> Json:
    """RFC 6902. As upstream, `replace` of an absent member adds it; to `test` it counts as null;
    without a value it is null; `null` instead of a list changes nothing.
    """
    operations = must_be_operations(operations)
    if len(operations) > OPERATIONS_MAX:
        raise RequestEntityTooLarge(
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{OPERATIONS_MAX}, got {len(operations)}"
        )
    document: Any = copy.deepcopy(obj)
    try:
        for operation in operations:
            document = _operate(document, operation)
    except _Refused:
        raise Invalid(_REJECTED, details={}) from None
    if not isinstance(document, dict):
        raise Invalid(_REJECTED, details={})
    return document


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: null deletes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict):
            out[key] = merge_patch(out.get(key), value)
        else:
            out[key] = value
    return out


def merge_patch_of(obj: Json, patch: Any) -> Json:
    """A merge patch on a whole object: the patch must be an object itself."""
    if patch is None:
        raise BadRequest("Invalid JSON Patch")
    merged: Json = merge_patch(obj, must_be_object(patch))
    return merged


def must_be_operations(patch: Any) -> list[Any]:
    """The operations, of the right types. Raises BadRequest."""
    if patch is None:
        return []
    go = "handlers.jsonPatchOp"
    if not isinstance(patch, list):
        text = f"json: cannot unmarshal {json_kind(patch)} into Go value of type []{go}"
        raise decoding_error(text)
    for operation in patch:
        if operation is not None and not isinstance(operation, dict):
            text = f"json: cannot unmarshal {json_kind(operation)} into Go value of type {go}"
            raise decoding_error(text)
        for key in ("op", "path", "from"):
            value = (operation or {}).get(key)
            if value is not None and not isinstance(value, str):
                raise decoding_error(
                    f"json: cannot unmarshal {json_kind(value)} into Go struct field "
                    f"jsonPatchOp.{key} of type string"
                )
    return patch


def unknown_in_operations(patch: Any) -> list[str]:
    """What strict decoding says about members that no operation has."""
    operations = patch if isinstance(patch, list) else []
    return [
        f'unknown field "[{index}].{key}"'
        for index, operation in enumerate(operations)
        if isinstance(operation, dict)
        for key in operation
        if key not in ("op", "path", "from", "value")
    ]


def difference(old: Any, new: Any) -> Json:
    """The merge patch that makes `new` of `old`; empty when nothing differs."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if key in old and before == value:
            continue
        both = isinstance(before, dict) and isinstance(value, dict)
        patch[key] = difference(before, value) if both else value
    return patch


def must_be_object(patch: Any) -> Json:
    if not isinstance(patch, dict):
        raise decoding_error(
            f"json: cannot unmarshal {json_kind(patch)} into Go value of type "
            "map[string]interface {}"
        )
    return patch


def decoding_error(text: str) -> BadRequest:
    """The patch itself cannot be read."""
    return BadRequest(f"error decoding patch: {text}")


def undecodable(patched: Any, text: str) -> Invalid:
    """The patched object is no object of its kind any more."""
    body = f"Invalid value: {quoted(quoted(patched))}: {text}"
    cause = {"reason": "FieldValueInvalid", "message": body, "field": "patch"}
    return Invalid(f' "" is invalid: patch: {body}', details={"causes": [cause]})


_MISMATCH = re.compile(
    r"json: cannot unmarshal (?P<got>\w+)(?P<number> \S+)? into Go struct field \S+ "
    r"of type (?P<wanted>\S+)"
)
_HELD = {"array": "slice", "object": "map", "number": "int64"}


def in_memory(text: str) -> str:
    """What is wrong in the words of a conversion that does not go by JSON: `cannot restore map from
    string`.
    """
    match = _MISMATCH.fullmatch(text)
    if match is None:
        return text
    wanted = match["wanted"]
    held = "float64" if match["number"] else _HELD.get(match["got"], match["got"])
    if wanted.startswith("map["):
        return f"cannot restore map from {held}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {held}"
    if "." in wanted:
        return f"cannot restore struct from: {held}"
    # Go knows a conversion from these to those, and refuses it; from others it knows none.
    if (held == "float64" and wanted.startswith("int")) or (held, wanted) == ("int64", "string"):
        return f"cannot convert {held} to {wanted}"
    return f"unrecognized type: {wanted}"


def unconvertible(patch: Any, text: str) -> Invalid:
    """A strategic patch that makes something else of an object: upstream shows the patch."""
    body = f"Invalid value: {quoted(go_text(patch))}: {text}"
    cause = {"reason": "FieldValueInvalid", "message": body, "field": "patch"}
    return Invalid(f' "" is invalid: patch: {body}', details={"causes": [cause]})


def _operate(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict):
        raise _Refused
    name, value = operation.get("op"), copy.deepcopy(operation.get("value"))
    if name in ("replace", "test") and operation.get("path") == "":
        if name == "replace":
            return value
        path: list[str] = []
    else:
        path = _pointer(operation.get("path"))
    if name in ("add", "replace"):
        return _put(document, path, value, insert=name == "add")
    if name == "remove":
        return _remove(document, path)
    if name == "test":
        if not _equal(_get(document, path), value):
            raise _Refused
        return document
    if name == "copy":
        value = copy.deepcopy(_get(document, _pointer(operation.get("from"))))
        return _put(document, path, value, insert=True)
    if name == "move":
        source = _pointer(operation.get("from"))
        value = _get(document, source)
        return _put(_remove(document, source), path, value, insert=True)
    raise _Refused


def _equal(left: Any, right: Any) -> bool:
    """As JSON texts compare: 1 is neither true nor 1.0."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return type(left) is type(right) and bool(left == right)


def _pointer(text: Any) -> list[str]:
    """The path's parts; what stands before the first slash is nobody's concern."""
    if not isinstance(text, str) or "/" not in text:
        raise _Refused
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _get(document: Any, path: list[str]) -> Any:
    value = document
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list):
            value = value[_place(part, len(value) - 1)]
        else:
            raise _Refused
    return value


def _parent(document: Any, path: list[str]) -> Any:
    parent = _get(document, path[:-1])
    if not isinstance(parent, (dict, list)):
        raise _Refused
    return parent


def _put(document: Any, path: list[str], value: Any, *, insert: bool) -> Any:
    parent = _parent(document, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    elif not insert:
        parent[_place(path[-1], len(parent) - 1)] = value
    elif path[-1] == "-":
        parent.append(value)
    else:
        parent.insert(_place(path[-1], len(parent)), value)
    return document


def _remove(document: Any, path: list[str]) -> Any:
    parent = _parent(document, path)
    if isinstance(parent, list):
        del parent[_place(path[-1], len(parent) - 1)]
    elif path[-1] in parent:
        del parent[path[-1]]
    else:
        raise _Refused
    return document


def _place(text: str, last: int) -> int:
    """An index into a list; negative ones count from the end."""
    if not _INDEX.fullmatch(text):
        raise _Refused
    index = int(text)
    if index < 0:
        index += last + 1
    if not 0 <= index <= last:
        raise _Refused
    return index


def json_kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    return {"dict": "object", "list": "array", "str": "string"}.get(type(value).__name__, "number")
