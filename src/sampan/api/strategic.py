"""Strategic merge patch: a merge that knows from the schema how to go into lists.

    {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}    changes the port 80, keeps the others

Directives: `$patch: delete|replace`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`,
`$retainKeys`. Order of lists: what the patch names keeps the patch's order, what only the server
has keeps the server's, and where they meet the server's order decides.
"""

from __future__ import annotations

import copy
from typing import Any

from sampan.api import schema
from sampan.api.conform import go_text, go_type
from sampan.api.errors import BadRequest, Invalid, Unclassified
from sampan.api.meta import Json
from sampan.api.patch import json_kind
from sampan.api.schema import ANY, Type

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
ORDER_PREFIX = "$setElementOrder/"
DELETE_PREFIX = "$deleteFromPrimitiveList/"


def strategic_merge(obj: Json, patch: Any, name: str) -> Json:
    """The patched object; `name` is the schema's."""
    if patch is None:
        patch = {}
    if not isinstance(patch, dict):
        got = json_kind(patch)
        raise BadRequest(
            f"json: cannot unmarshal {got} into Go value of type map[string]interface {{}}"
        )
    return _merge_map(copy.deepcopy(obj), copy.deepcopy(patch), schema.of(name))


def _merge_map(original: Json, patch: Json, kind: Type) -> Json:
    """Changes and returns `original`."""
    if DIRECTIVE in patch:
        return _directed_map(patch)
    _retain_keys(original, patch)
    _ordered_lists(original, patch, kind)
    for key, value in patch.items():
        if key.startswith(DELETE_PREFIX):
            _delete_primitives(original, key.removeprefix(DELETE_PREFIX), value)
        elif value is None:
            original.pop(key, None)
        elif key in original:
            original[key] = _merge_value(original[key], value, _field(kind, key))
        elif not (isinstance(value, dict) and DIRECTIVE in value):
            original[key] = _without_directives(value)
    return original


def _merge_value(old: Any, new: Any, kind: Type) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        if kind.replace and DIRECTIVE not in new:
            return _without_directives(new)
        return _merge_map(old, new, kind)
    if isinstance(old, list) and isinstance(new, list) and kind.merge:
        return _merge_list(old, new, kind)
    return _without_directives(new)


def _directed_map(patch: Json) -> Json:
    directive = patch.pop(DIRECTIVE)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    raise _bad_directive(directive, {**patch, DIRECTIVE: directive})


def _bad_directive(directive: Any, item: Json) -> Unclassified:
    return Unclassified(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")


def _no_merge_key(item: Json, merge_key: str) -> Unclassified:
    text = f"map: {go_text(item)} does not contain declared merge key: {merge_key}"
    return Unclassified(text)


def _retain_keys(original: Json, patch: Json) -> None:
    """`$retainKeys`: of a union only the members named stay."""
    retained = patch.pop(RETAIN_KEYS, None)
    if retained is None:
        return
    if not isinstance(retained, list):
        raise BadRequest("invalid patch format of retainKeys")
    named = [key for key, value in patch.items() if value is not None and not _is_list_order(key)]
    if any(key not in retained for key in named):
        raise BadRequest("invalid patch format of retainKeys")
    for key in [key for key in original if key not in retained]:
        del original[key]


def _ordered_lists(original: Json, patch: Json, kind: Type) -> None:
    """Lists with `$setElementOrder`: merged here, and taken out of the patch."""
    for directive in [key for key in patch if key.startswith(ORDER_PREFIX)]:
        order = patch.pop(directive)
        key = directive.removeprefix(ORDER_PREFIX)
        if not isinstance(order, list):
            text = f"expected a []interface {{}}, but received a {go_type(order)}"
            raise Unclassified(text)
        if key in patch and patch[key] is None:
            continue
        old, new = original.get(key), patch.pop(key, None)
        deleted = patch.pop(DELETE_PREFIX + key, None)
        if old is None and new is None:
            continue
        field = _field(kind, key)
        _check_order(new or [], order, field.merge_key)
        if deleted is not None:
            _delete_primitives(original, key, deleted)
        merged = _merge_value(original.get(key) or [], new or [], field)
        original[key] = _in_order(merged, order, old or [], field.merge_key)


def _check_order(new: list[Any], order: list[Any], merge_key: str) -> None:
    """The patch's own items must all be in the order, and stand in it."""
    items = [item for item in new if not (isinstance(item, dict) and DIRECTIVE in item)]
    places = [_index(order, item, merge_key) for item in items]
    if -1 in places or places != sorted(places):
        raise Unclassified(
            f"The order in patch list:\n{go_text(new)}\n doesn't match $setElementOrder list:\n"
            f"{go_text(order)}\n"
        )


def _delete_primitives(original: Json, key: str, values: Any) -> None:
    old = original.get(key)
    if values is None:
        original.pop(key, None)
    elif isinstance(old, list) and isinstance(values, list):
        original[key] = [item for item in old if item not in values]


def _merge_list(old: list[Any], new: list[Any], kind: Type) -> list[Any]:
    _check_kinds(old, new)
    if not any(isinstance(item, dict) for item in (*old, *new)):
        merged = list(dict.fromkeys((*old, *new)))
        return _in_order(merged, new, old, "")
    if not kind.merge_key:
        raise Unclassified("cannot merge lists without merge key for type struct")
    old, new = _special_items(old, new, kind.merge_key)
    merged = list(old)
    for item in new:
        place = _index(merged, item, kind.merge_key)
        if place >= 0:
            merged[place] = _merge_map(merged[place], copy.deepcopy(item), kind.of)
        else:
            merged.append(_without_directives(item))
    return _in_order(merged, new, old, kind.merge_key)


def _check_kinds(old: list[Any], new: list[Any]) -> None:
    """The items of lists that are merged must all be of one kind, and no lists."""
    kinds = {json_kind(item) for item in (*old, *new)}
    if "array" in kinds and isinstance((old or new)[0], list):
        raise Invalid("the server rejected our request due to an error in our request", details={})
    if len(kinds) > 1:
        raise Unclassified(f"list element types are not identical: {go_text([old, new])}")


def _special_items(old: list[Any], new: list[Any], merge_key: str) -> tuple[list[Any], list[Any]]:
    """Items with `$patch` done with: (what is left of the old list, the plain items)."""
    plain, replace = [], False
    for item in new:
        directive = item.get(DIRECTIVE)
        if merge_key not in item and directive in (None, "delete"):
            raise _no_merge_key(item, merge_key)
        if DIRECTIVE not in item:
            plain.append(item)
        elif directive == "delete":
            old = [entry for entry in old if _index([entry], item, merge_key) < 0]
        elif directive == "replace":
            replace = True
        elif directive == "merge":
            raise Unclassified("merging lists cannot yet be specified in the patch")
        else:
            raise _bad_directive(directive, item)
    return (plain, []) if replace else (old, plain)


def _in_order(
    merged: list[Any], patch_order: list[Any], server_order: list[Any], merge_key: str
) -> list[Any]:
    """What the patch names in its order, woven into what only the server has in its."""
    named = [item for item in merged if _index(patch_order, item, merge_key) >= 0]
    named.sort(key=lambda item: _index(patch_order, item, merge_key))
    rest = [item for item in merged if _index(patch_order, item, merge_key) < 0]
    out: list[Any] = []
    for item in rest:
        place = _index(server_order, item, merge_key)
        while named and not 0 <= place < _index(server_order, named[0], merge_key):
            out.append(named.pop(0))
        out.append(item)
    return out + named


def _index(items: list[Any], wanted: Any, merge_key: str) -> int:
    """Where the item stands in the list, by its merge key; -1 if nowhere."""
    if not merge_key:
        return items.index(wanted) if wanted in items else -1
    key = wanted.get(merge_key) if isinstance(wanted, dict) else wanted
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get(merge_key) == key:
            return index
    return -1


def _field(kind: Type, key: str) -> Type:
    if kind.kind == "map":
        return kind.of
    if kind.kind != "struct":
        return ANY
    field = kind.struct.fields.get(key)
    return field.type if field else ANY


def _without_directives(value: Any) -> Any:
    """A part that is new: nothing to direct, and nothing for null to delete."""
    if isinstance(value, dict):
        return {
            key: _without_directives(item)
            for key, item in value.items()
            if item is not None and not _is_directive(key)
        }
    if isinstance(value, list):
        return [
            _without_directives(item)
            for item in value
            if not (isinstance(item, dict) and DIRECTIVE in item)
        ]
    return value


def _is_list_order(key: str) -> bool:
    return key.startswith((ORDER_PREFIX, DELETE_PREFIX))


def _is_directive(key: str) -> bool:
    return key in (DIRECTIVE, RETAIN_KEYS) or key.startswith((ORDER_PREFIX, DELETE_PREFIX))
