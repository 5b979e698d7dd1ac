"""Which kinds go together: in comparisons, in lists, in the branches of a choice. Pure."""

from __future__ import annotations

from sampan.resources.cel import types
from sampan.resources.cel.types import DYN, Kind

_NEVER_NULL = frozenset(("bool", "int", "uint", "double", "string", "bytes", "list", "map"))
_TIME, _SPAN = types.TIMESTAMP.name, types.DURATION.name
_NUMBERS = ("int", "uint", "double")
_SUMS = {
    "_+_": {
        *((name, name) for name in (*_NUMBERS, "string", "bytes", "list", _SPAN)),
        (_TIME, _SPAN), (_SPAN, _TIME),
    },
    "_-_": {*((name, name) for name in (*_NUMBERS, _TIME, _SPAN)), (_TIME, _SPAN)},
    "_*_": {(name, name) for name in _NUMBERS},
    "_/_": {(name, name) for name in _NUMBERS},
    "_%_": {(name, name) for name in ("int", "uint")},
}  # fmt: skip
_RESULTS = {("_+_", _TIME, _SPAN): _TIME, ("_+_", _SPAN, _TIME): _TIME,
            ("_-_", _TIME, _TIME): _SPAN, ("_-_", _TIME, _SPAN): _TIME}  # fmt: skip
_BY_NAME = {_TIME: types.TIMESTAMP, _SPAN: types.DURATION}


def strangers(left: Kind, right: Kind) -> bool:
    """Whether two things can never be of one kind. Nothing (null) may stand for an object or a
    time, not for a text, a number, a list or a map.
    """
    names = {left.name, right.name}
    if "dyn" in names:
        return False
    if len(names) == 1:
        inner = left.name in ("list", "map", types.OPTIONAL)
        return inner and strangers(left.items or DYN, right.items or DYN)
    if "null_type" in names:
        return bool(names & _NEVER_NULL)
    return True


def sum_of(name: str, left: Kind, right: Kind) -> Kind | None:
    """What an arithmetical operator gives; None where it does not go with these."""
    if "dyn" in (left.name, right.name):
        known = left if left.name != "dyn" else right
        return known if known.name in types.SCALARS else DYN
    if (left.name, right.name) not in _SUMS[name]:
        return None
    if left.name == "list":
        return None if strangers(left, right) else left
    return _BY_NAME.get(_RESULTS.get((name, left.name, right.name), ""), left)


def is_open(kind: Kind) -> bool:
    return kind.name == types.DYN.name
