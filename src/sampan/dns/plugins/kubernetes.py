"""*kubernetes* answers for services, endpoints and pods of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from sampan.client.kubeconfig import BadKubeconfig, Connection, in_cluster, load
from sampan.dns import codes, names
from sampan.dns.arguments import ONCE, BadDuration, Fall, duration
from sampan.dns.backend import Asked, denial, look_up, reply_from
from sampan.dns.corefile import CorefileError
from sampan.dns.kube import snapshot
from sampan.dns.kube.lookup import Cluster, Options, base_of, parse
from sampan.dns.kube.model import SYNCED, Model
from sampan.dns.kube.watch import Wanted, Watcher
from sampan.dns.plugin import Handler, Plugin, Query, Reply, failure
from sampan.dns.setup import Args, Closer, Settings, World

SYNC_CHECK_S = 0.01
SAY_WAITING_S = 0.5
SILENT_S = 15.0


class Kubernetes(Plugin):
    static = True
    has_work = True

    def __init__(self, world: World, block: Settings, cluster: Cluster) -> None:
        self.world = world
        self.block = block
        self.cluster = cluster
        self.model = cluster.model
        self.wanted = Wanted()
        self.connection: Connection | None = None
        self.fall = Fall()
        self.startup_timeout_s = 5.0
        self._close: Closer | None = None

    async def answer(self, query: Query, following: Handler) -> Reply:
        zone = names.longest_zone(query.name, self.cluster.options.zones)
        if not zone:
            return await following(query)
        # The zone in the case of the question: owner names show what was asked.
        cased = query.qname[len(query.qname) - len(zone) :]
        asked = Asked(query.name, query.qname, query.type, cased, query)
        if query.type in (codes.AXFR, codes.IXFR):
            return failure(codes.REFUSED)
        found = await look_up(self.cluster, asked)
        if found.records is not None:
            return reply_from(self.cluster, asked, found)
        if self.fall.through(query.name):
            return await following(query)
        if not self.model.synced:
            asked.tags.add("synced")
            return denial(self.cluster, asked, codes.SERVFAIL)
        return denial(self.cluster, asked, codes.NXDOMAIN)

    # Life

    async def start(self) -> None:
        """Begin to watch, and wait a while for everything to be there."""
        self._find_own_addresses()
        if self.connection is None:
            self.connection = _in_cluster()
        watcher = Watcher(self.connection, self.wanted, self.world.clock)
        self.model.on_request = self._count_request
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
            ip for ip in found if not ip.startswith("127.") and ip != "::1" and "%" not in ip
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

    def metadata(self, query: Query) -> Mapping[str, Callable[[], str]]:
        facts = dict(self._client_facts(query))
        options = self.cluster.options
        zone = names.longest_zone(query.name, options.zones)
        if not zone:
            return facts
        multi = self.cluster.is_multi(zone)
        base = base_of(query.name, zone)
        request = parse(base, multicluster=multi, zonal=options.zonal)
        if request is None:
            facts["kubernetes/parse-error"] = lambda: "invalid query name"
            return facts
        told = {
            "port-name": request.port, "protocol": request.protocol,
            "endpoint": request.endpoint, "service": request.service,
            "namespace": request.namespace, "kind": request.kind,
        }  # fmt: skip
        if multi:
            told["cluster"] = request.cluster
        if options.zonal:
            told["zone"] = request.place
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
        return [f"{keys[0][0]}.svc.{dot}", f"svc.{dot}", zone]


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
        plugin = Kubernetes(args.world, args.block, cluster)
        _Reader(args, plugin).read()
    assert plugin is not None
    if plugin.connection is None:
        try:
            plugin.connection = _in_cluster()
        except CorefileError as bad:
            raise CorefileError(str(bad).removeprefix("plugin/kubernetes: ")) from bad
    return plugin


class _Reader:
    """The properties; each is a method of its name."""

    def __init__(self, args: Args, plugin: Kubernetes) -> None:
        self.args = args
        self.plugin = plugin
        self.options = plugin.cluster.options
        self.endpoint = ""
        self.tls: tuple[str, str, str] | None = None
        self.wanted: dict[str, Any] = {}

    def read(self) -> None:
        for name in self.args.properties():
            reader: Callable[[], None] | None = getattr(self, "_" + name, None)
            if reader is None or not name.islower():
                raise self.args.unknown()
            reader()
        self._check()
        self.plugin.wanted = Wanted(
            pods=self.options.pods == "verified",
            imports=bool(self.options.multi_zones),
            **self.wanted,
        )
        if self.endpoint:
            self.plugin.connection = self._connection()

    def _connection(self) -> Connection:
        server = self.endpoint if "://" in self.endpoint else f"http://{self.endpoint}"
        if self.tls is None:
            return Connection(server)
        cert, key, ca = (self._content(path) for path in self.tls)
        return Connection(server, ca=ca, cert=cert, key=key)

    def _content(self, path: str) -> bytes:
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as bad:
            raise CorefileError(f"unable to read {path}: {bad.strerror}") from bad

    def _check(self) -> None:
        options, args = self.options, self.args
        if options.namespaces and self.wanted.get("namespace_labels"):
            raise args.error("namespaces and namespace_labels cannot both be set")
        for zone in options.multi_zones:
            if zone not in options.zones:
                raise args.error(
                    f"is not authoritative for the multicluster zone {zone} "
                    f"(authoritative zones: [{' '.join(options.zones)}])"
                )
        if options.zonal and not self.wanted.get("endpoints", True):
            raise args.error("zonal requires the endpoint cache; remove noendpoints")

    def _endpoint_pod_names(self) -> None:
        self.args.none()
        self.options.endpoint_pod_names = True

    def _pods(self) -> None:
        mode = self.args.one()
        if mode not in ("disabled", "insecure", "verified"):
            raise CorefileError(
                f"wrong value for pods: {mode},  must be one of: disabled, verified, insecure"
            )
        self.options.pods = mode

    def _namespaces(self) -> None:
        self.options.namespaces |= frozenset(self.args.some())

    def _endpoint(self) -> None:
        words = self.args.some()
        self.endpoint = words[0]
        if len(words) > 1:
            self.args.world.log.warning(
                "plugin/kubernetes: Multiple endpoints have been deprecated, only the first "
                f"specified endpoint '{words[0]}' is used"
            )

    def _tls(self) -> None:
        words = self.args.rest()
        if len(words) != 3:
            raise self.args.wrong_count()
        self.tls = (words[0], words[1], words[2])

    def _labels(self) -> None:
        self.wanted["labels"] = " ".join(self.args.some())

    def _namespace_labels(self) -> None:
        self.wanted["namespace_labels"] = " ".join(self.args.some())

    def _fallthrough(self) -> None:
        self.plugin.fall = Fall.from_args(self.args.rest())

    def _ttl(self) -> None:
        word = self.args.some()[0]
        try:
            ttl = int(word)
        except ValueError:
            raise CorefileError(f'strconv.Atoi: parsing "{word}": invalid syntax') from None
        if not 0 <= ttl <= 3600:
            raise self.args.error(f"ttl must be in range [0, 3600]: {ttl}")
        self.options.ttl = ttl

    def _noendpoints(self) -> None:
        self.args.none()
        self.wanted["endpoints"] = False

    def _snapshot(self) -> None:
        self.wanted["snapshot"] = self.args.path(self.args.one())

    def _zonal(self) -> None:
        self.args.none()
        self.options.zonal = True

    def _ignore(self) -> None:
        words = self.args.rest()
        if words and words[0] != "empty_service":
            raise CorefileError(f"unable to parse ignore value: '{words[0]}'")
        self.options.ignore_empty = bool(words)

    def _kubeconfig(self) -> None:
        words = self.args.rest()
        if not 1 <= len(words) <= 2:
            raise self.args.wrong_count()
        try:
            self.plugin.connection = load(words[0], *words[1:])
        except (BadKubeconfig, OSError) as bad:
            raise CorefileError(str(bad)) from bad

    def _multicluster(self) -> None:
        self.options.multi_zones = tuple(
            zone for word in self.args.rest() for zone in self.args.zones([word])
        )

    def _startup_timeout(self) -> None:
        word = self.args.some()[0]
        try:
            self.plugin.startup_timeout_s = duration(word)
        except BadDuration as bad:
            raise CorefileError(f"failed to parse startup_timeout: {word}, {bad}") from bad

    def _apiserver_qps(self) -> None:
        self._number(float)

    def _apiserver_burst(self) -> None:
        self._number(int)

    def _apiserver_max_inflight(self) -> None:
        self._number(int)

    def _number(self, kind: Callable[[str], float]) -> None:
        """Limits of a client that asks often; ours lists once and watches, and needs none."""
        name, word = self.args.word, self.args.one()
        try:
            value = kind(word)
        except ValueError:
            raise self.args.error(f'invalid {name} "{word}"') from None
        if value < 0:
            raise self.args.error(f"{name} must be >= 0")
