"""Who answers for a Service, for requests that the API server itself passes on."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sampan.api.errors import ServiceUnavailable
from sampan.api.meta import Json
from sampan.apiserver.cacher.cacher import Cacher

SERVICE_LABEL = "kubernetes.io/service-name"


class ServiceEndpoints:
    def __init__(self, cacher: Cacher) -> None:
        self._slices = cacher.collection("discovery.k8s.io", "endpointslices")
        self._endpoints = cacher.collection("", "endpoints")

    def pick(self, svc: Json, port: str) -> tuple[str, int]:
        """A ready endpoint of the port, by name or number, any one of them.

        Raises ServiceUnavailable.
        """
        meta = svc["metadata"]
        if port.isdigit():
            known = [p for p in svc["spec"].get("ports") or () if p["port"] == int(port)]
            if not known:
                text = f'no service port {port} found for service "{meta["name"]}"'
                raise ServiceUnavailable(text)
            port = known[0].get("name") or ""
        found = self._from_slices(meta, port) or self._from_endpoints(meta, port)
        if not found:
            raise ServiceUnavailable(f'no endpoints available for service "{meta["name"]}"')
        return random.choice(found)

    def _from_slices(self, meta: Json, port: str) -> list[tuple[str, int]]:
        found = []
        for item in self._slices.items(meta["namespace"]):
            if item.labels.get(SERVICE_LABEL) != meta["name"]:
                continue
            slice_ = item.decode()
            for number in _numbers(slice_.get("ports") or (), port):
                found += [
                    (endpoint["addresses"][0], number)
                    for endpoint in slice_.get("endpoints") or ()
                    if (endpoint.get("conditions") or {}).get("ready") is not False
                ]
        return found

    def _from_endpoints(self, meta: Json, port: str) -> list[tuple[str, int]]:
        item = self._endpoints.get(meta["namespace"], meta["name"])
        if item is None:
            return []
        return [
            (address["ip"], number)
            for subset in item.decode().get("subsets") or ()
            for number in _numbers(subset.get("ports") or (), port)
            for address in subset.get("addresses") or ()
        ]


def _numbers(ports: Sequence[Json], name: str) -> list[int]:
    return [
        p["port"] for p in ports if (p.get("name") or "") == name or (not name and len(ports) == 1)
    ]
