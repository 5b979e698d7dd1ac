"""Distributing endpoints over slices: few changes first, few slices second. Pure.

    desired endpoints, by the ports they share
        kept where they are --> slices that change anyway are filled up --> the rest to a slice
        with room, or a new one

A slice whose endpoints are all gone is deleted; a Service without any keeps one empty slice per
family, so that watchers can tell "none" from "not yet".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.api.meta import Json

Identity = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """The endpoints that share these ports."""

    ports: tuple[Json, ...]
    endpoints: dict[Identity, Json]


@dataclass(slots=True)
class Layout:
    """What to do: new contents, new contents for known slices, slices to delete."""

    create: list[tuple[Sequence[Json], list[Json]]] = field(default_factory=list)
    """(ports, endpoints)."""
    update: list[tuple[Json, list[Json]]] = field(default_factory=list)
    """(slice, endpoints)."""
    keep: list[Json] = field(default_factory=list)
    delete: list[Json] = field(default_factory=list)


def ports_key(ports: Sequence[Json] | None) -> str:
    """Equal for equal sets of ports."""
    rows = [
        [port.get("name") or "", port.get("protocol") or "TCP", port.get("port") or 0,
         port.get("appProtocol") or ""]
        for port in ports or ()
    ]  # fmt: skip
    return json.dumps(sorted(rows))


def identity(endpoint: Json) -> Identity:
    """What makes two entries the same endpoint."""
    target = endpoint.get("targetRef") or {}
    return (
        tuple(endpoint.get("addresses") or ()),
        endpoint.get("hostname") or "",
        target.get("uid") or "",
        target.get("name") or "",
    )


def layout(existing: Sequence[Json], wishes: Mapping[str, Wish], most: int) -> Layout:
    """The changes that make the existing slices of one family say what is wished."""
    plan = Layout()
    by_ports: dict[str, list[Json]] = {}
    for one in existing:
        key = ports_key(one.get("ports"))
        if key in wishes:
            by_ports.setdefault(key, []).append(one)
        else:
            plan.delete.append(one)
    for key, wish in wishes.items():
        _fit(plan, by_ports.get(key, []), wish, most)
    return plan


def _fit(plan: Layout, existing: Sequence[Json], wish: Wish, most: int) -> None:
    missing = dict(wish.endpoints)
    unchanged: list[Json] = []
    changed: list[tuple[Json, list[Json]]] = []
    for one in existing:
        now = one.get("endpoints") or []
        kept = [missing.pop(name) for name in map(identity, now) if name in missing]
        if now and not kept:
            plan.delete.append(one)
        elif kept != now:
            changed.append((one, kept))
        else:
            unchanged.append(one)
    _fill(changed, missing, most)
    if missing:
        _place(plan, unchanged, (wish, missing, most))
    plan.update += changed
    plan.keep += unchanged


def _fill(changed: list[tuple[Json, list[Json]]], missing: dict[Identity, Json], most: int) -> None:
    """Slices that are written anyway take what they can, the fullest first."""
    for _, kept in sorted(changed, key=lambda item: -len(item[1])):
        while missing and len(kept) < most:
            kept.append(missing.pop(next(iter(missing))))


def _place(
    plan: Layout, unchanged: list[Json], rest: tuple[Wish, dict[Identity, Json], int]
) -> None:
    wish, missing, most = rest
    while len(missing) >= most:
        plan.create.append((wish.ports, _take(missing, most)))
    if not missing:
        return
    room = [one for one in unchanged if len(one.get("endpoints") or ()) + len(missing) <= most]
    if room:
        fullest = max(room, key=lambda one: len(one.get("endpoints") or ()))
        unchanged.remove(fullest)
        endpoints = [*(fullest.get("endpoints") or ()), *_take(missing, most)]
        plan.update.append((fullest, endpoints))
    else:
        plan.create.append((wish.ports, _take(missing, most)))


def _take(missing: dict[Identity, Json], count: int) -> list[Json]:
    return [missing.pop(name) for name in list(missing)[:count]]
