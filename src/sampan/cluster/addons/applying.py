"""What every cluster gets beyond the API: ordinary objects, applied by the control plane."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

from sampan.api import kinds
from sampan.api.errors import ApiError
from sampan.api.meta import Json, ResourceId
from sampan.client.client import Client
from sampan.cluster.config import ClusterConfig
from sampan.std import log

MANAGER = "sampan-addons"
BY_KIND: dict[str, ResourceId] = {
    rid.kind: rid
    for rid in (
        kinds.SERVICEACCOUNTS, kinds.CLUSTERROLES, kinds.CLUSTERROLEBINDINGS, kinds.CONFIGMAPS,
        kinds.SERVICES, kinds.DEPLOYMENTS, kinds.ROLES, kinds.ROLEBINDINGS, kinds.DAEMONSETS,
    )
}  # fmt: skip


def manifests(config: ClusterConfig) -> list[Json]:
    """The objects with this cluster's addresses filled in."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    folder = resources.files("sampan.cluster.addons")
    files = ["dns.yaml", *(["node-local-dns.yaml"] if config.node_local_dns else [])]
    text = "\n---\n".join((folder / file).read_text() for file in files)
    values = {"DNS_IP": config.dns_address, "DOMAIN": config.domain}
    for name, value in values.items():
        text = text.replace("${" + name + "}", value)
    return [obj for obj in yaml.load_all(text, Loader=loader) if obj]


class Addons:
    """Applies the add-ons once at each start; what a user changed since then stays his.

    Applied without force: a field that somebody else took over is left to him.
    """

    name = "addons"

    def __init__(self, config: ClusterConfig, client: Client) -> None:
        self.config, self.client = config, client
        self.log = log.get("addons")

    async def run(self, started: Callable[[], None]) -> None:
        import asyncio

        for obj in manifests(self.config):
            await self._apply(obj)
        started()
        await asyncio.Event().wait()

    async def _apply(self, obj: Json) -> None:
        try:
            await self.client.apply(BY_KIND[obj["kind"]], obj, manager=MANAGER, force=False)
        except ApiError as error:
            name = f"{obj['kind']} {obj['metadata']['name']}"
            self.log.warning("an add-on is left as it is", object=name, error=str(error))
