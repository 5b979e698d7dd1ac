"""*kubernetes* answers for services, endpoints and pods of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from sampan.client.kubeconfig import BadKubeconfig, Connection, in_cluster
from sampan.dns import codes, names
from sampan.dns.arguments import ONCE
from sampan.dns.backend import Asked, denial, look_up, reply_from
from sampan.dns.corefile import CorefileError
from sampan.dns.kube import snapshot
from sampan.dns.kube.lookup import Cluster, base_of, parse
from sampan.dns.kube.model import SYNCED, Model
from sampan.dns.kube.options import Options
from sampan.dns.kube.reading import Reader
from sampan.dns.kube.watch import Watcher
from sampan.dns.kube.whole import zone_records
from sampan.dns.message import Record
from sampan.dns.plugin import Handler, Plugin, Query, Reply, failure
from sampan.dns.resolvconf import search_list
from sampan.dns.setup import Args, Closer, Settings, World

SYNC_CHECK_S = 0.01
SAY_WAITING_S = 0.5
SILENT_S = 15.0


class Kubernetes(Plugin):
    static = True
    has_work = True

    def __init__(self, world: World, block: Settings, cluster: Cluster, read: Reader) -> None:
        self.world = world
        self.block = block
        self.cluster = cluster
        self.model = cluster.model
        self.wanted = read.wanted
        self.connection = read.connection
        self.fall = read.fall
        self.startup_timeout_s = read.startup_timeout_s
        self.further_search: list[str] = []
        """What a pod searches after the cluster's zones: the machine's own list."""
        self._close: Closer | None = None

    async def answer(self, query: Query, following: Handler) -> Reply:
        zone = names.longest_zone(query.name, self.cluster.options.zones)
        if not zone:
            return await following(query)
        # The zone in the case of the question: owner names show what was asked.
        qname = query.qname
        cased = qname[len(qname) - len(zone) :]
        asked = Asked(query.name, qname, query.type, cased, query)
        if query.type in (codes.AXFR, codes.IXFR):
            return failure(codes.REFUSED)  # *transfer* answers those, in front of us
        found = await look_up(self.cluster, asked)
        denied = found.records is None
        family = self.cluster.families.of(query.name, zone, query.type, denied=denied)
        if not denied:
            return reply_from(self.cluster, asked, found, family)
        if self.fall.through(query.name):
            return await following(query)
        if not self.model.synced:
            asked.tags.add("synced")
            return denial(self.cluster, asked, codes.SERVFAIL)
        labels = self.cluster.missing_labels(asked)
        return denial(self.cluster, asked, codes.NXDOMAIN, labels, family if labels else None)

    # Life

    async def start(self) -> None:
        """Begin to watch, and wait a while for everything to be there."""
        self._find_own_addresses()
        if self.connection is None:
            self.connection = _in_cluster()
        with contextlib.suppress(OSError):
            self.further_search = search_list()
        watcher = Watcher(self.connection, self.wanted, self.world.clock)
        self.model.on_request = self._count_request
        self.model.on_drift = self.world.counters.drift.inc
        log = self.world.log
        self.model.on_warning = lambda text: log.warning(f"plugin/kubernetes: {text}")
        if self.wanted.snapshot:
            self._take_snapshot(self.wanted.snapshot)
        self._close = self.world.feeds.start("kubernetes", watcher.run, self.take)
        await self._wait_for_sync()

    def _find_own_addresses(self) -> None:
        bound = [host for host in self.block.hosts if host]
        found = bound or [ip for _, ip in self.world.addresses()]
        self.cluster.options.local_ips = tuple(
            ip.partition("%")[0] for ip in found if not ip.startswith("127.") and ip != "::1"
        )

    def _take_snapshot(self, path: str) -> None:
        rows = snapshot.read(path)
        if rows:
            self.model.take([*rows, (SYNCED,)])
            self.world.log.info(f"plugin/kubernetes: answering from {path} until the API is heard")

    async def _wait_for_sync(self) -> None:
        clock, log = self.world.clock, self.world.log
        began = told = clock.monotonic()
        while not self.model.synced:
            now = clock.monotonic()
            if now - began >= self.startup_timeout_s:
                log.warning("plugin/kubernetes: starting server with unsynced Kubernetes API")
                return
            if now - told >= SAY_WAITING_S:
                told = now
                log.info("plugin/kubernetes: waiting for Kubernetes API before starting server")
            await clock.sleep(SYNC_CHECK_S)

    def take(self, batch: bytes) -> None:
        """News from the watching half."""
        tags = self.model.apply(batch)
        if tags:
            self.world.changed(tags)

    def _count_request(self, row: tuple[Any, ...]) -> None:
        _, method, code, seconds = row
        assert self.connection is not None
        counters, host = self.world.counters, urlsplit(self.connection.server).netloc
        counters.rest_requests.labels(code, method, host).inc()
        counters.rest_durations.labels(method, host).observe(seconds)
        counters.rest_waits.labels(method, host).observe(0.0)

    async def run(self) -> None:
        """Say how long the API server has not been heard; what is known is served on."""
        began = self.world.clock.now()
        while True:
            await self.world.clock.sleep(1)
            silent = self.world.clock.now() - (self.model.heard or began)
            self.world.counters.behind.set(silent if silent > SILENT_S else 0)

    async def stop(self) -> None:
        if self._close is not None:
            await self._close()

    def ready(self) -> bool:
        return self.model.synced

    # For other plugins

    def transfer(self, zone: str, serial: int) -> list[Record] | None:
        """The zone for *transfer*; None for one that is not ours."""
        if zone not in self.cluster.options.zones:
            return None
        return zone_records(self.cluster, zone, serial)

    def metadata(self, query: Query) -> Mapping[str, Callable[[], str]]:
        facts = dict(self._client_facts(query))
        options = self.cluster.options
        zone = names.longest_zone(query.name, options.zones)
        if not zone:
            return facts
        # Upstream reads every name here as one of this cluster's: it tells no name of a cluster.
        request = parse(base_of(query.name, zone), zonal=options.zonal)
        if request is None:
            facts["kubernetes/parse-error"] = lambda: "invalid query name"
            return facts
        front = request.front
        told = {
            "port-name": front.port, "protocol": front.protocol,
            "endpoint": front.endpoint, "service": request.service,
            "namespace": request.namespace, "kind": request.kind,
        }  # fmt: skip
        if options.zonal:
            told["zone"] = front.zone
        for label, text in told.items():
            facts[f"kubernetes/{label}"] = lambda text=text: text  # type: ignore[misc]
        return facts

    def _client_facts(self, query: Query) -> Mapping[str, Callable[[], str]]:
        keys = self.model.pod_ips.get(query.client.address)
        if not keys:
            return {}
        pod = self.model.pods[keys[0]]
        facts: dict[str, Callable[[], str]] = {
            "kubernetes/client-namespace": lambda: pod.namespace,
            "kubernetes/client-pod-name": lambda: pod.name,
        }
        for name, value in pod.labels:
            facts[f"kubernetes/client-label/{name}"] = lambda value=value: value  # type: ignore[misc]
        return facts

    def search_path(self, query: Query) -> list[str]:
        """What a pod would search, for *autopath*; nothing for strangers."""
        zone = names.longest_zone(query.name, self.cluster.options.zones)
        keys = self.model.pod_ips.get(query.client.address)
        if not zone or not keys or self.cluster.options.pods != "verified":
            return []
        dot = "" if zone == "." else zone
        return [f"{keys[0][0]}.svc.{dot}", f"svc.{dot}", zone, *self.further_search]


def _in_cluster() -> Connection:
    try:
        return in_cluster()
    except BadKubeconfig as bad:
        if "KUBERNETES_SERVICE_HOST" in str(bad):
            raise CorefileError(
                "plugin/kubernetes: unable to load in-cluster configuration, "
                "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
            ) from bad
        raise CorefileError(f"plugin/kubernetes: {bad}") from bad


def setup(args: Args) -> Plugin:
    plugin = None
    for number, words in enumerate(args.places()):
        if number:
            raise CorefileError(ONCE)
        options = Options(zones=args.zones(words))
        forward = [z for z in options.zones if not z.endswith((".in-addr.arpa.", ".ip6.arpa."))]
        if not forward:
            raise CorefileError("non-reverse zone name must be used")
        options.primary = forward[0]
        cluster = Cluster(Model(args.world.clock.now), options)
        plugin = Kubernetes(args.world, args.block, cluster, Reader(args, options))
    assert plugin is not None
    if plugin.connection is None:
        try:
            plugin.connection = _in_cluster()
        except CorefileError as bad:
            raise CorefileError(str(bad).removeprefix("plugin/kubernetes: ")) from bad
    return plugin
