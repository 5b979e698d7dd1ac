"""CEL in webhooks and policies: which variables there are, and what an expression must give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.meta import Json
from sampan.resources.cel import program, types
from sampan.resources.cel.types import DYN, Kind

_ALWAYS = ("object", "oldObject", "request", "authorizer")


Known = Mapping[str, Kind]
"""What an expression may name."""


def scope(
    *, with_params: bool, variables: Known | None = None, parameters: bool = True
) -> dict[str, Kind]:
    """Objects are of any kind here; a policy (`with_params`) knows more than a webhook, and
    parameters only if it has a kind for them.
    """
    found = dict.fromkeys(_ALWAYS, DYN)
    if with_params:
        found["namespaceObject"] = DYN
        if parameters:
            found["params"] = DYN
    if variables is not None:
        found["variables"] = types.object_of(dict(variables), "variables")
    return found


def boolean(text: str, known: Known) -> list[str]:
    """Complaints about an expression that must be true or false."""
    return _faults(text, known, (types.BOOL,), "must evaluate to bool")


def string(text: str, known: Known) -> list[str]:
    """... about one that must give a message."""
    return _faults(text, known, (types.STRING,), "must evaluate to string")


def string_or_null(text: str, known: Known) -> list[str]:
    """... about an audit annotation's value."""
    wanted = (types.STRING, types.NULL)
    return _faults(text, known, wanted, "must evaluate to one of [string null_type]")


def anything(text: str, known: Known) -> list[str]:
    return _faults(text, known, (), "")


def _faults(text: str, names: Mapping[str, Kind], kinds: Sequence[Kind], says: str) -> list[str]:
    try:
        compiled = program.compile_expression(text, names)
    except program.CompileError as error:
        return [f"compilation failed: {error}"]
    if kinds and not any(program.expects(compiled, kind) for kind in kinds):
        return [says]
    return []


def kinds_of(variables: Sequence[Json]) -> dict[str, Kind]:
    """The variables that a policy defines, by name, each seeing those before it; one without an
    expression is none.
    """
    found: dict[str, Kind] = {}
    for variable in variables:
        name, text = variable.get("name", ""), variable.get("expression", "")
        if not text.strip():
            continue
        try:
            compiled = program.compile_expression(text, scope(with_params=True, variables=found))
        except program.CompileError:
            found[name] = DYN
        else:
            found[name] = compiled.kind
    return found
