"""All kinds that are served, as one literal table: what has a file comes from its group's
`RESOURCES`, what has nothing particular to say comes from the tables alone.
"""

from __future__ import annotations

from sampan.api import facts
from sampan.api.meta import ResourceId
from sampan.api.resource import Resource, Subresource
from sampan.resources import (
    admissionregistration,
    apiextensions,
    apiregistration,
    apps,
    authentication,
    authorization,
    autoscaling,
    batch,
    certificates,
    coordination,
    core,
    discovery,
    events,
    flowcontrol,
    networking,
    node,
    policy,
    rbac,
    resource,
    scheduling,
    storage,
)

WRITTEN: tuple[Resource, ...] = (
    *core.RESOURCES,
    *apiregistration.RESOURCES,
    *apps.RESOURCES,
    *events.RESOURCES,
    *authentication.RESOURCES,
    *authorization.RESOURCES,
    *autoscaling.RESOURCES,
    *batch.RESOURCES,
    *certificates.RESOURCES,
    *networking.RESOURCES,
    *policy.RESOURCES,
    *rbac.RESOURCES,
    *storage.RESOURCES,
    *scheduling.RESOURCES,
    *coordination.RESOURCES,
    *node.RESOURCES,
    *discovery.RESOURCES,
    *admissionregistration.RESOURCES,
    *flowcontrol.RESOURCES,
    *resource.RESOURCES,
    *apiextensions.RESOURCES,
)


def from_tables(known: frozenset[tuple[str, str, str]]) -> tuple[Resource, ...]:
    """Plain resources for every row of the tables that no file describes."""
    rows = facts.load("resources")
    found = []
    for row in rows:
        group, version, plural = "" if row[0] == "core" else row[0], row[1], row[2]
        if "/" in plural or (group, version, plural) in known:
            continue
        found.append(_plain(row, [sub for sub in rows if _below(sub, row)]))
    return tuple(found)


def _below(sub: list[str], row: list[str]) -> bool:
    return sub[:2] == row[:2] and sub[2].startswith(row[2] + "/")


def _plain(row: list[str], subresources: list[list[str]]) -> Resource:
    group, version, plural, kind, scope, singular, short, categories, verbs = row
    package = group.split(".")[0]
    rid = ResourceId(
        "" if group == "core" else group, version, plural, kind, namespaced=scope == "Namespaced"
    )
    return Resource(
        id=rid,
        schema=f"{package}.{version}.{kind}",
        singular="" if singular == "-" else singular,
        short=() if short == "-" else tuple(short.split(",")),
        categories=() if categories == "-" else tuple(categories.split(",")),
        verbs=tuple(verbs.split(",")),
        subresources=tuple(_subresource(sub, rid) for sub in subresources),
        generation=False,
    )


def _subresource(row: list[str], of: ResourceId) -> Subresource:
    where, _, kind = row[3].rpartition(".")
    group, _, version = where.rpartition("/")
    own = not version
    rid = ResourceId(
        of.group if own else group, of.version if own else version, "", kind, of.namespaced
    )
    return Subresource(row[2].partition("/")[2], rid, tuple(row[8].split(",")))


def _key(resource: Resource) -> tuple[str, str, str]:
    return resource.id.group, resource.id.version, resource.id.plural


CATALOG: tuple[Resource, ...] = (
    *WRITTEN,
    *from_tables(frozenset(_key(resource) for resource in WRITTEN)),
)
