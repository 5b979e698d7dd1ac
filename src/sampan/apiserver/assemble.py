"""Puts an API server together from a store, keys and options; no sockets, no files."""

from __future__ import annotations

import asyncio
import random
import secrets
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sampan import __version__
from sampan.api.resource import Resource
from sampan.apiserver.admission.table import World, plugins
from sampan.apiserver.aggregator import Aggregator
from sampan.apiserver.allocators.allocator import ServiceAllocator
from sampan.apiserver.app import App, Limits
from sampan.apiserver.attempts import Chain
from sampan.apiserver.authn.accounts import AccountTokens
from sampan.apiserver.authn.authenticator import Authenticator
from sampan.apiserver.authn.bootstrap import BootstrapTokens
from sampan.apiserver.authn.keys import SigningKey, VerifyingKey
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authz.authorizer import Authorizer
from sampan.apiserver.authz.impersonation import Impersonation
from sampan.apiserver.authz.node import NodeAuthorizer
from sampan.apiserver.authz.rbac import Rbac
from sampan.apiserver.bootstrap import Cluster, Kept, bootstrap
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.custom import CustomResources
from sampan.apiserver.dangling import Dangling
from sampan.apiserver.discovery import Discovery
from sampan.apiserver.flows import Flows
from sampan.apiserver.health import Check
from sampan.apiserver.housekeeping import EVENT_TTL_S, Housekeeping
from sampan.apiserver.legacytokens import LegacyTokens
from sampan.apiserver.meters import Meters
from sampan.apiserver.ownership import FieldOwnership
from sampan.apiserver.pages import pages
from sampan.apiserver.registry.base import Parts, timestamp
from sampan.apiserver.router import Router
from sampan.apiserver.served import Catalog
from sampan.apiserver.special import specials
from sampan.apiserver.uids import Uids
from sampan.std.about import About
from sampan.std.clock import Clock
from sampan.std.metrics import Registry
from sampan.store.base import Store

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Options:
    """What the flags come to."""

    cluster: Cluster
    issuer: str = "https://kubernetes.default.svc"
    issuers: tuple[str, ...] = ()
    """More, whose tokens are taken too."""
    audiences: tuple[str, ...] = ()
    node_ports: tuple[int, int] = (30000, 32767)
    old_keys: tuple[VerifyingKey, ...] = ()
    """Of tokens that were signed before the key was changed."""
    tokens: StaticTokens = field(default_factory=StaticTokens)
    anonymous: bool = True
    bootstrap_tokens: bool = True
    authorization: tuple[str, ...] = ("Node", "RBAC")
    limits: Limits = field(default_factory=Limits)
    about: About = field(default_factory=About)
    enable_admission: tuple[str, ...] = ()
    disable_admission: tuple[str, ...] = ()
    front_proxy: tuple[str, str] | None = None
    """Certificate and key by which servers behind us (APIService) know us."""
    event_ttl_s: float = EVENT_TTL_S
    kubelet_tls: ssl.SSLContext | None = None
    """How to speak to kubelets; None: without a certificate, and without checking theirs."""


@dataclass(slots=True)
class ApiServer:
    """An assembled server: `start` it, serve `app.handle`, and `run` beside."""

    app: App
    parts: Parts
    catalog: Catalog
    cacher: Cacher
    custom: CustomResources
    housekeeping: Housekeeping
    kept: Kept
    dangling: Dangling
    legacy: LegacyTokens
    follower: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Follow the store and work behind the requests, until cancelled."""
        assert self.follower is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(self.custom.run())
            group.create_task(self.housekeeping.run())
            group.create_task(self.kept.run())
            group.create_task(self.app.aggregator.run())
            group.create_task(self.dangling.run())
            group.create_task(self.legacy.run())
            await self.follower


async def assemble(
    store: Store,
    resources: Sequence[Resource],
    key: SigningKey,
    options: Options,
    clock: Clock,
) -> ApiServer:
    """Load the state, make the initial objects, and be ready to answer."""
    cacher = Cacher(store)
    await cacher.load()
    catalog = Catalog(cacher, clock.now)
    catalog.add_all(resources)
    authenticator = _authenticator(key, options, cacher, clock)
    authorizer = Authorizer(NodeAuthorizer(cacher), Rbac(cacher), options.authorization)
    parts = _parts(store, cacher, authorizer, options, clock)
    wanted, unwanted = options.enable_admission, options.disable_admission
    parts.chain = Chain(plugins(World(parts, catalog, authorizer), wanted, unwanted))
    custom = CustomResources(parts, catalog)
    special = {
        **specials(parts, catalog, authenticator, authorizer, options.kubelet_tls),
        ("apiextensions.k8s.io", "customresourcedefinitions", "*delete"): custom.delete,
    }
    router = Router(parts, special, random.SystemRandom().random)
    aggregator = Aggregator(parts, catalog, options.front_proxy)
    discovery, meters = Discovery(catalog, aggregator), Meters(Registry(), clock)
    app = App(
        authenticator, authorizer, Impersonation(authorizer.require), catalog, router, discovery,
        aggregator, meters,
        Flows(cacher), parts.new_uid, {}, {},
        __version__, options.limits,
    )  # fmt: skip
    housekeeping = Housekeeping(parts, event_ttl_s=options.event_ttl_s)
    kept = Kept(parts, catalog, options.cluster)
    dangling, legacy = Dangling(parts, catalog), LegacyTokens(parts, catalog)
    authenticator.accounts.on_secret_used = legacy.used
    server = ApiServer(app, parts, catalog, cacher, custom, housekeeping, kept, dangling, legacy)
    app.checks = checks(server)
    app.pages = pages(app, authenticator.accounts, catalog, options.about)
    server.follower = asyncio.create_task(cacher.run(), name="cacher")
    await bootstrap(parts, catalog, options.cluster)
    return server


def _authenticator(
    key: SigningKey, options: Options, cacher: Cacher, clock: Clock
) -> Authenticator:
    accounts = AccountTokens(key, options.issuer, cacher, clock)
    accounts.keys |= {old.key_id: old for old in options.old_keys}
    accounts.issuers |= set(options.issuers)
    if options.audiences:
        accounts.audiences = options.audiences
    bootstrap_tokens = BootstrapTokens(cacher, clock) if options.bootstrap_tokens else None
    return Authenticator(options.tokens, accounts, bootstrap_tokens, anonymous=options.anonymous)


def _parts(
    store: Store, cacher: Cacher, authorizer: Authorizer, options: Options, clock: Clock
) -> Parts:
    ranges = options.cluster.service_ranges
    allocator = ServiceAllocator(cacher, ranges, options.node_ports, lambda: timestamp(clock))
    ownership = FieldOwnership(clock)
    return Parts(
        store, cacher, Chain(), allocator, ownership, clock, random_suffix, Uids().next,
        authorizer,
    )  # fmt: skip


def checks(server: ApiServer) -> Mapping[str, Check]:
    """What the health pages look at."""

    def store() -> str:
        follower = server.follower
        if follower is None:
            return "not started"
        return "the store can no longer be followed" if follower.done() else ""

    def well() -> str:
        return ""

    # What upstream does behind the start of its server is done here before the first answer.
    done = ("start-system-namespaces-controller", "rbac/bootstrap-roles",
            "scheduling/bootstrap-system-priority-classes", "crd-informer-synced")  # fmt: skip
    hooks = {f"poststarthook/{name}": well for name in done}
    return {
        "ping": well, "log": well, "etcd": store, "etcd-readiness": store,
        "informer-sync": store, **hooks, "shutdown": well,
    }  # fmt: skip


def random_suffix() -> str:
    """Five characters for a generated name: no vowels, nothing that looks like another."""
    return "".join(secrets.choice(SUFFIX_ALPHABET) for _ in range(5))
