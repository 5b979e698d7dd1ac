"""CEL in webhooks and policies: which variables there are, and what an expression must give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.meta import Json
from sampan.resources.admissionregistration.handed import NAMESPACE, REQUEST
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
    found = {**dict.fromkeys(_ALWAYS, DYN), "request": REQUEST}
    if with_params:
        found["namespaceObject"] = NAMESPACE
        if parameters:
            found["params"] = DYN
    if variables is not None:
        found["variables"] = types.object_of(dict(variables), "variables")
    return found


def boolean(text: str, known: Known) -> list[str]:
    """Complaints about an expression that must be true or false."""
    return _faults(text, known, (types.BOOL,))


def string(text: str, known: Known) -> list[str]:
    """... about one that must give a message."""
    return _faults(text, known, (types.STRING,))


def string_or_null(text: str, known: Known) -> list[str]:
    """... about an audit annotation's value."""
    return _faults(text, known, (types.STRING, types.NULL))


def anything(text: str, known: Known) -> list[str]:
    return _faults(text, known, ())


def _faults(text: str, names: Mapping[str, Kind], kinds: Sequence[Kind]) -> list[str]:
    try:
        compiled = program.compile_expression(text, names)
    except program.CompileError as error:
        return [f"compilation failed: {error}"]
    listed = [kind.name for kind in kinds]
    if not kinds or compiled.kind.name in listed or _may_be_anything(compiled):
        return []
    wanted = listed[0] if len(listed) == 1 else f"one of [{' '.join(listed)}]"
    return [f"must evaluate to {wanted} but got {types.typed(compiled.kind)}"]


def _may_be_anything(compiled: program.Program) -> bool:
    """Of unknown kind only because its functions are not all known here."""
    return compiled.kind.name == types.DYN.name and not program.is_anything(compiled.source)


def kinds_of(variables: Sequence[Json], base: Known | None = None) -> dict[str, Kind]:
    """The variables that a policy defines, by name, each seeing those before it and what `base`
    names (objects of any kind, if nothing is said); one without an expression is none.
    """
    base = scope(with_params=True) if base is None else base
    found: dict[str, Kind] = {}
    for variable in variables:
        name, text = variable.get("name", ""), variable.get("expression", "")
        if not text.strip():
            continue
        try:
            known = {**base, "variables": types.object_of(dict(found), "variables")}
            compiled = program.compile_expression(text, known)
        except program.CompileError:
            found[name] = DYN
        else:
            found[name] = _plain(compiled.kind)
    return found


def _plain(kind: Kind) -> Kind:
    """A variable is known as far as it is plain or made of plain things; an object is anything."""
    if kind.name == "list":
        return types.list_of(_plain(kind.items or DYN))
    if kind.name == "map":
        return types.map_of(_plain(kind.items or DYN))
    return DYN if kind.fields is not None else kind
