"""Services by their external addresses, for *k8s_external*: `service.namespace.ZONE`."""

from __future__ import annotations

from sampan.dns import codes, names
from sampan.dns.backend import Asked, Found, kind_of_host
from sampan.dns.kube.lookup import Cluster, Request, Tags, base_of
from sampan.dns.kube.objects import Service
from sampan.dns.kube.places import Front


class External:
    """The view of a cluster from outside."""

    def __init__(self, cluster: Cluster, *, headless: bool) -> None:
        self.cluster = cluster
        self.headless = headless

    @property
    def serial(self) -> int:
        return self.cluster.model.external_modified

    def find(self, asked: Asked) -> tuple[list[Found], int]:
        """What stands at the name, and the response code for when that is nothing."""
        if asked.type == codes.PTR:
            ip = names.address_of_reverse(asked.name)
            if ip:
                found = self.at_address(ip, asked.tags)
                return found, codes.NOERROR if found else codes.NXDOMAIN
        labels = names.split(base_of(asked.name, asked.zone.lower()))
        if not self.cluster.exposed(labels[-1], asked.tags):
            return [], codes.NXDOMAIN
        if len(labels) == 1:
            return [], codes.NOERROR
        request = _request(labels)
        if request is None:
            return [], codes.NXDOMAIN
        found = self._services(request, asked)
        rcode = codes.NOERROR if found else codes.NXDOMAIN
        return ([] if asked.type == codes.PTR else found), rcode

    def _services(self, request: Request, asked: Asked) -> list[Found]:
        key = (request.namespace, request.service)
        asked.tags.add(("svc", *key))
        service = self.cluster.model.services.get(key)
        if service is None:
            return []
        domain = f"{service.name}.{service.namespace}.{asked.zone}"
        bare = not service.external_ips and (service.headless or request.front.endpoint)
        if self.headless and bare:
            slices = self.cluster.model.endpoints(key)
            return self.cluster.endpoints(slices, request.front, domain)
        return self.at_outside(service, request.front, domain)

    def at_outside(self, service: Service, front: Front, domain: str) -> list[Found]:
        return [
            Found(ip, domain, number, self.cluster.ttl)
            for ip in service.external_ips
            for number in front.numbers(service.ports)
        ]

    def at_address(self, ip: str, tags: Tags) -> list[Found]:
        """The services that have this external address."""
        tags.add(("ip", ip))
        keys = self.cluster.model.external_ips.get(ip, ())
        return [
            Found(f"{name}.{namespace}", ttl=self.cluster.ttl)
            for namespace, name in keys
            if self.cluster.listed(namespace, tags)
        ]

    def own_addresses(self, tags: Tags) -> list[str]:
        """The external addresses of the services that stand for this server, else our own."""
        tags.add("self")
        model, found, known = self.cluster.model, list[str](), False
        for ip in self.cluster.options.local_ips:
            for key in model.endpoint_ips.get(ip, ()):
                known = True
                one = model.slices[key]
                service = model.services.get((one.namespace, one.service))
                if service is None:
                    continue
                if self.headless and service.headless:
                    found += (endpoint.ip for endpoint in one.endpoints)
                else:
                    found += (ip for ip in service.external_ips if kind_of_host(ip) != codes.CNAME)
        return found if known else list(self.cluster.options.local_ips)


def _request(labels: list[str]) -> Request | None:
    *left, service, namespace = labels
    head = Request("svc", namespace, service)
    if not left:
        return head
    if len(left) == 1:
        return head._replace(front=Front(left[0].removeprefix("_")))
    if len(left) == 2:
        port, protocol = (label.removeprefix("_") for label in left)
        return head._replace(front=Front("", port, protocol))
    return None
