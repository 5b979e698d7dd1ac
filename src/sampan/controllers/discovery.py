"""Which resources the API server serves now, custom ones included: for controllers that work on all
kinds. Asked in two requests (aggregated discovery), and again when definitions change.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from sampan.api.errors import from_status
from sampan.api.meta import Json, ResourceId
from sampan.client.client import Client
from sampan.client.transport import Request

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True, slots=True)
class Served:
    """A resource and its verbs."""

    rid: ResourceId
    verbs: frozenset[str]
    subresources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Survey:
    """All that is served, and the group versions whose own server does not answer."""

    served: tuple[Served, ...]
    stale: tuple[str, ...] = ()


async def discover(client: Client) -> list[Served]:
    """Every resource in its preferred version, without subresources. Raises ApiError."""
    return list((await survey(client)).served)


async def survey(client: Client) -> Survey:
    """As `discover`, and what is missing. Raises ApiError."""
    found: list[Served] = []
    stale: list[str] = []
    for path in ("/api", "/apis"):
        response = await client.raw(Request("GET", path, "", {"accept": _ACCEPT}))
        body: Json = orjson.loads(await response.read())
        if response.status != 200:
            raise from_status(body, response.status)
        for group in body.get("items") or ():
            found += _resources(group)
            stale += _stale(group)
    return Survey(tuple(found), tuple(sorted(stale)))


def _stale(group: Json) -> list[str]:
    name = (group.get("metadata") or {}).get("name", "")
    return [
        f"{name}/{version['version']}" if name else version["version"]
        for version in group.get("versions") or ()
        if version.get("freshness") == "Stale"
    ]


def _resources(group: Json) -> list[Served]:
    """The first version that has a resource is the preferred one."""
    name = (group.get("metadata") or {}).get("name", "")
    found: dict[str, Served] = {}
    for version in group.get("versions") or ():
        for item in version.get("resources") or ():
            if item["resource"] not in found:
                rid = ResourceId(
                    name,
                    version["version"],
                    item["resource"],
                    (item.get("responseKind") or {}).get("kind", ""),
                    item.get("scope") == "Namespaced",
                )
                parts = (part["subresource"] for part in item.get("subresources") or ())
                verbs = frozenset(item.get("verbs") or ())
                found[item["resource"]] = Served(rid, verbs, frozenset(parts))
    return list(found.values())
