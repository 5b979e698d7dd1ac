"""Who we talk to: the flags that every object command shares, and discovery of resource names."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sampan.api.errors import BadRequest
from sampan.api.meta import Json, ResourceId
from sampan.client import kubeconfig
from sampan.client.client import Client
from sampan.client.kubeconfig import Connection
from sampan.client.transport import Request


class UnknownResource(BadRequest):
    """The server has no resource of that name."""


def add_flags(parser: argparse.ArgumentParser, *, namespace: bool = True) -> None:
    parser.add_argument("--kubeconfig", default="", help="default: $KUBECONFIG or ~/.kube/config")
    parser.add_argument("--context", default="", help="default: the current one")
    if namespace:
        parser.add_argument("-n", "--namespace", default="", help="default: the context's")


def connection(args: argparse.Namespace) -> Connection:
    """Raises BadKubeconfig."""
    from sampan.cluster import userconfig

    explicit = args.kubeconfig
    path = userconfig.target(explicit)
    return kubeconfig.load(path, args.context)


@asynccontextmanager
async def session(args: argparse.Namespace) -> AsyncIterator[Session]:
    """A client with discovery, closed at the end."""
    where = connection(args)
    client = where.client("sampan-cli")
    try:
        namespace = getattr(args, "namespace", "") or where.namespace
        yield Session(client, where, namespace)
    finally:
        await client.close()


@dataclass(slots=True)
class Session:
    """One command's talk with the API server."""

    client: Client
    connection: Connection
    namespace: str
    known: list[tuple[ResourceId, Json]] | None = None

    async def resources(self) -> list[tuple[ResourceId, Json]]:
        """Everything served, from aggregated discovery, with the discovery rows."""
        if self.known is None:
            accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            self.known = []
            for root in ("/api", "/apis"):
                reply = await self.client.raw(Request("GET", root, headers={"accept": accept}))
                self.known += _rows(await reply.read())
        return self.known

    async def by_name(self, name: str) -> ResourceId:
        """`pods`, `pod`, `po`, `deployments.apps`. Raises UnknownResource."""
        wanted, _, group = name.lower().partition(".")
        for rid, row in await self.resources():
            names = {
                rid.plural,
                row["singularResource"],
                rid.kind.lower(),
                *row.get("shortNames", ()),
            }
            if wanted in names and (not group or rid.group == group):
                return rid
        raise UnknownResource(f'the server doesn\'t have a resource type "{name}"')

    async def by_kind(self, api_version: str, kind: str) -> ResourceId:
        """For a manifest. Raises UnknownResource."""
        for rid, _ in await self.resources():
            if rid.kind == kind and rid.api_version == api_version:
                return rid
        raise UnknownResource(f'no matches for kind "{kind}" in version "{api_version}"')

    def scope(self, rid: ResourceId) -> str:
        return self.namespace if rid.namespaced else ""


def _rows(body: bytes) -> list[tuple[ResourceId, Json]]:
    import orjson

    found = []
    for group in orjson.loads(body)["items"]:
        name = group["metadata"].get("name", "")
        for version in group["versions"]:
            for row in version["resources"]:
                namespaced = row["scope"] == "Namespaced"
                kind = row["responseKind"]["kind"]
                rid = ResourceId(name, version["version"], row["resource"], kind, namespaced)
                found.append((rid, row))
    return found
