"""CEL in webhooks and policies: which variables there are, and what an expression must give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.meta import Json
from sampan.resources.cel import program, types
from sampan.resources.cel.types import DYN, Kind

_ALWAYS = ("object", "oldObject", "request", "authorizer")


def scope(*, with_params: bool, variables: Mapping[str, Kind] | None = None) -> dict[str, Kind]:
    """What an expression may name. Objects are of any kind here."""
    found = dict.fromkeys(_ALWAYS, DYN)
    if with_params:
        found |= {"params": DYN, "namespaceObject": DYN}
    if variables is not None:
        found["variables"] = types.object_of(dict(variables), "variables")
    return found


def boolean(
    text: str, *, with_params: bool, variables: Mapping[str, Kind] | None = None
) -> list[str]:
    """Complaints about an expression that must be true or false."""
    names = scope(with_params=with_params, variables=variables)
    return _faults(text, names, (types.BOOL,), "must evaluate to bool")


def string(text: str, variables: Mapping[str, Kind]) -> list[str]:
    """... about one that must give a message."""
    names = scope(with_params=True, variables=variables)
    return _faults(text, names, (types.STRING,), "must evaluate to string")


def string_or_null(text: str, variables: Mapping[str, Kind]) -> list[str]:
    """... about an audit annotation's value."""
    names = scope(with_params=True, variables=variables)
    kinds = (types.STRING, types.NULL)
    return _faults(text, names, kinds, "must evaluate to one of [string null_type]")


def anything(text: str, variables: Mapping[str, Kind]) -> list[str]:
    return _faults(text, scope(with_params=True, variables=variables), (), "")


def _faults(text: str, names: Mapping[str, Kind], kinds: Sequence[Kind], says: str) -> list[str]:
    try:
        compiled = program.compile_expression(text, names)
    except program.CompileError as error:
        return [f"compilation failed: {error}"]
    if kinds and not any(program.expects(compiled, kind) for kind in kinds):
        return [says]
    return []


def kinds_of(variables: Sequence[Json]) -> dict[str, Kind]:
    """The variables that a policy defines, by name, each seeing those before it."""
    found: dict[str, Kind] = {}
    for variable in variables:
        names = scope(with_params=True, variables=found)
        try:
            compiled = program.compile_expression(variable.get("expression", ""), names)
        except program.CompileError:
            found[variable.get("name", "")] = DYN
        else:
            found[variable.get("name", "")] = compiled.kind
    return found
