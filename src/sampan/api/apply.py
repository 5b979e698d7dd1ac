"""Server-side apply, and the ownership of fields that every write leaves behind.

    track(live, new, kind, writer)       create, update, patch: the writer owns what it changed
    apply(live, config, kind, writer)    apply: owns what it names, gives up what it names no longer

A field belongs to whoever set it last, or to all who apply the same value. Applying another value
over somebody's field is a conflict, unless forced. What an applier leaves out disappears, unless
somebody else owns it. Both return a new object with its managedFields; the arguments stay as they
are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from sampan.api import fieldset, managed, typed
from sampan.api.errors import BadRequest, Conflict
from sampan.api.fieldset import EMPTY, FieldSet, Path
from sampan.api.managed import APPLY, UPDATE, Entry, Manager, Managers
from sampan.api.meta import Json
from sampan.api.schema import Type

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_NOBODYS: FieldSet = frozenset(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",)]
    + [
        ("f:metadata", f"f:{name}")
        for name in (
            "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName",
            "generation", "managedFields", "resourceVersion",
        )
    ]
)  # fmt: skip
"""Fields that the server keeps itself."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, through which door."""

    manager: str
    api_version: str
    now: str
    """RFC 3339."""
    subresource: str = ""
    ignored: tuple[Path, ...] = ()
    """What a write through this door does not change: `(("f:status",),)` for the main one."""


def track(live: Json | None, new: Json, kind: Type, writer: Writer, empty: Json) -> Json:
    """The new object with the ownership that this plain write leaves.

    `live` is None on create; `empty` is the kind's object with nothing set.
    """
    known = _managers_for(live, new, writer)
    bare = _without_managed(new)
    if live is not None and not known and _is_tracked(live):
        return bare
    try:
        managers = _updated(_without_managed(live or empty), bare, kind, known, writer)
    except KeyError:
        managers = known
    return _with_managed(bare, managed.capped(managers))


def apply(
    live: Json | None, config: Json, kind: Type, writer: Writer, empty: Json, *, force: bool = False
) -> Json:
    """The live object with the configuration laid over it; Conflict if others own what differs.
    The configuration must be of its type (`conform`).

    An applied configuration that changes nothing gives the live object back as it was.
    """
    if (config.get("metadata") or {}).get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    current = _without_managed(live or empty)
    managers = managed.read_or_nothing(_entries(live)) if live else {}
    if live and not managers:
        before = replace(writer, manager=managed.BEFORE_FIRST_APPLY)
        managers = _updated(empty, current, kind, {}, before)
    me = Manager(writer.manager, APPLY, "", writer.subresource)
    last = managers.get(me)
    wanted = typed.fields_of(config, kind)
    wanted = wanted - fieldset.below(wanted, writer.ignored)
    kept = _only(config, kind, writer.ignored)
    merged = typed.merge(current, kept, kind)
    mine = Entry(wanted, writer.api_version, last.time if last else "")
    everyone = {**managers, me: mine}
    merged = _pruned(merged, kind, everyone, last.fields if last else EMPTY)
    change = typed.compare(current, merged, kind).without(writer.ignored)
    everyone = _settled(everyone, me, change, force or _may_force(live, writer, everyone, change))
    if change:
        everyone = _renewed(everyone, me, writer.now)
        merged = _with_last_applied(merged, config, writer)
    else:
        merged = current
    everyone = _stripped(everyone, me)
    return _with_managed(merged, everyone)


def _updated(live: Json, new: Json, kind: Type, managers: Managers, writer: Writer) -> Managers:
    """Ownership after a plain write."""
    change = typed.compare(live, new, kind).without(writer.ignored)
    touched = frozenset(change.added | change.modified)
    out = managed.without(managers, touched | change.removed)
    taken = touched - _NOBODYS
    if taken:
        me = Manager(writer.manager, UPDATE, writer.api_version, writer.subresource)
        before = out.get(me)
        fields = taken | before.fields if before else taken
        out[me] = Entry(fields, writer.api_version, writer.now)
    return out


def _settled(managers: Managers, me: Manager, change: typed.Difference, force: bool) -> Managers:
    """Takes what changed from the others; a conflict unless forced."""
    touched = frozenset(change.added | change.modified)
    conflicts = {
        manager: entry.fields & touched
        for manager, entry in managers.items()
        if manager != me and entry.fields & touched
    }
    if conflicts and not force:
        raise conflict_error(conflicts)
    return managed.without(managers, touched | change.removed, keep=me)


def _pruned(merged: Json, kind: Type, managers: Managers, last: FieldSet) -> Json:
    """Without what was applied last time, is not now, and nobody else owns."""
    if not last:
        return merged
    last = fieldset.with_named_parents(last, kind)
    pruned = typed.remove(merged, last, kind) or {}
    whole = fieldset.with_named_parents(typed.fields_of(merged, kind), kind)
    left = fieldset.with_named_parents(typed.fields_of(pruned, kind), kind)
    owned = fieldset.with_named_parents(managed.owned_by(managers), kind)
    pruned = typed.remove(merged, whole - (left | owned), kind) or {}
    left = fieldset.with_named_parents(typed.fields_of(pruned, kind), kind)
    out: Json = typed.remove(merged, (whole - left) & last, kind) or {}
    return out


def _only(config: Json, kind: Type, ignored: tuple[Path, ...]) -> Json:
    """The configuration without the parts that this door does not change."""
    out: Json = config
    for path in ignored:
        out = typed.remove(out, frozenset([path]), kind) or {}
    return out


def _stripped(managers: Managers, me: Manager) -> Managers:
    entry = managers.get(me)
    if entry is None:
        return managers
    left = entry.fields - _NOBODYS
    out = {manager: item for manager, item in managers.items() if manager != me}
    return {**out, me: replace(entry, fields=left)} if left else out


def _renewed(managers: Managers, me: Manager, now: str) -> Managers:
    entry = managers.get(me)
    return {**managers, me: replace(entry, time=now)} if entry else managers


# --- kubectl's way from client-side to server-side apply


def _may_force(
    live: Json | None, writer: Writer, managers: Managers, change: typed.Difference
) -> bool:
    """Whether all conflicts are with what the same kubectl applied on the client's side before."""
    if writer.manager != "kubectl" or live is None:
        return False
    last = live.get("metadata", {}).get("annotations", {}).get(LAST_APPLIED)
    if not last:
        return False
    try:
        config = json.loads(last)
    except ValueError:
        return False
    touched = frozenset(change.added | change.modified)
    contested = EMPTY.union(
        *(e.fields & touched for m, e in managers.items() if m.operation == UPDATE)
    )
    others = [
        manager
        for manager, entry in managers.items()
        if manager.operation == APPLY and manager.name != "kubectl" and entry.fields & touched
    ]
    named = {path for path in contested if _names(config, path)}
    return not others and contested <= named


def _names(config: Any, path: Path) -> bool:
    """Whether the configuration sets the field."""
    value = config
    for element in path:
        sign, rest = element[:2], element[2:]
        if sign == "f:":
            if not isinstance(value, dict) or rest not in value:
                return False
            value = value[rest]
            continue
        if not isinstance(value, list):
            return False
        wanted = json.loads(rest)
        found = [item for item in value if _is_called(item, sign, wanted)]
        if not found:
            return False
        value = found[0]
    return True


def _is_called(item: Any, sign: str, wanted: Any) -> bool:
    if sign == "v:":
        return bool(item == wanted)
    if not isinstance(item, dict):
        return False
    return all(item.get(key, value) == value for key, value in wanted.items())


def _with_last_applied(merged: Json, config: Json, writer: Writer) -> Json:
    """kubectl's annotation follows, so that client-side apply goes on working."""
    notes = merged.get("metadata", {}).get("annotations") or {}
    if writer.manager != "kubectl" or LAST_APPLIED not in notes:
        return merged
    text = json.dumps(config, separators=(",", ":"), sort_keys=True) + "\n"
    meta = {**merged["metadata"], "annotations": {**notes, LAST_APPLIED: text}}
    return {**merged, "metadata": meta}


# --- conflicts


def conflict_error(conflicts: dict[Manager, FieldSet]) -> Conflict:
    """409 with a cause per field."""
    ordered = sorted(conflicts.items())
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {manager}",
            "field": fieldset.text(path),
        }
        for manager, paths in ordered
        for path in fieldset.in_order(paths)
    ]
    if len(causes) == 1:
        text = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = []
        for manager, paths in ordered:
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {fieldset.text(path)}" for path in fieldset.in_order(paths)]
        text = f"{len(causes)} conflicts: " + "\n".join(lines)
    return Conflict(f"Apply failed with {text}", details={"causes": causes})


# --- managedFields of objects


def _entries(obj: Json | None) -> Any:
    return (obj or {}).get("metadata", {}).get("managedFields")


def _managers_for(live: Json | None, new: Json, writer: Writer) -> Managers:
    """Whose ownership a write starts from: clients may edit it, but not lose it by accident."""
    if writer.subresource:
        return managed.read_or_nothing(_entries(live))
    if managed.is_reset(_entries(new)):
        return {}
    return managed.read_or_nothing(_entries(new)) or managed.read_or_nothing(_entries(live))


def _is_tracked(live: Json) -> bool:
    """An object that exists and has no entries is left alone."""
    return bool(live.get("metadata", {}).get("uid"))


def _without_managed(obj: Json) -> Json:
    meta = obj.get("metadata")
    if not meta or "managedFields" not in meta:
        return obj
    return {**obj, "metadata": {k: v for k, v in meta.items() if k != "managedFields"}}


def _with_managed(obj: Json, managers: Managers) -> Json:
    if not managers:
        return obj
    meta = {**obj.get("metadata", {}), "managedFields": managed.written(managers)}
    return {**obj, "metadata": meta}
