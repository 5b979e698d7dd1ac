"""Server blocks to chains: every plugin set up in the table's order, linked to the next.

blocks --setup--> plugins --link--> one handler per block --by address--> sites
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sampan.dns.corefile import Block, CorefileError
from sampan.dns.plugin import NO_NEXT, Handler, Plugin, Query, Reply, Span, nobody
from sampan.dns.setup import Args, Settings, World, split_host_port

Setup = Callable[[Args], Plugin | None]
NOT_SERVED = ("grpc", "quic", "https3")
TRANSPORT_PORTS = {"dns": "", "tls": "853", "https": "443"}


@dataclass(frozen=True, slots=True)
class Site:
    """A zone at a transport and port, with the chain that answers for it."""

    zone: str
    port: str
    transport: str
    settings: Settings
    handler: Handler | None
    static: bool

    def key(self, host: str) -> str:
        text = f"{self.transport}://{self.zone}:{self.port}"
        return f"{text} on {host}" if host else text


def sites(
    blocks: Iterable[Block], world: World, plugins: Mapping[str, str], port: str = "53"
) -> list[Site]:
    """Set up every plugin of every block, plugin by plugin. Raises CorefileError."""
    blocks = list(blocks)
    try:
        addressed = [_addresses(block.keys, port) for block in blocks]
    except CorefileError as bad:
        raise CorefileError(f"error inspecting server blocks: {bad}") from bad
    all_settings = [
        Settings(keys=tuple(zone for zone, _, _ in found), port=found[0][1], transport=found[0][2])
        for found in addressed
    ]
    for name, module in plugins.items():
        for block, settings in zip(blocks, all_settings, strict=True):
            if name in block.directives:
                _set_up(name, module, Args(block.directives[name], settings, world))
    found = [
        Site(zone, at, transport, settings, *_linked(settings, plugins))
        for addresses, settings in zip(addressed, all_settings, strict=True)
        for zone, at, transport in addresses
    ]
    _check_overlaps(found)
    return found


def _addresses(keys: Iterable[str], default: str) -> list[tuple[str, str, str]]:
    """Zone, port and transport of every key; networks become several."""
    found = []
    for key in keys:
        transport, sign, rest = key.partition("://")
        if transport in NOT_SERVED and sign:
            raise CorefileError(f"'{transport}' is not served here: {key}; dns, tls and https are")
        if not sign or transport not in TRANSPORT_PORTS:
            transport, rest = "dns", key
        if not rest:
            raise CorefileError('expecting data after last colon: ""')
        zones, port = split_host_port(rest)
        if rest.startswith(":"):
            raise CorefileError("zone is not a valid domain name: ")
        port = port or TRANSPORT_PORTS[transport] or default
        found += [(zone, port, transport) for zone in zones]
    return found


def _set_up(name: str, module: str, args: Args) -> None:
    setup: Setup = importlib.import_module(f"sampan.dns.plugins.{module}").setup
    try:
        plugin = setup(args)
    except CorefileError as bad:
        raise CorefileError(f"plugin/{name}: {bad}") from bad
    if plugin is not None:
        plugin.name = plugin.name or name
        args.block.plugins.setdefault(name, []).append(plugin)


def _linked(settings: Settings, order: Iterable[str]) -> tuple[Handler | None, bool]:
    plugins = [plugin for name in order for plugin in settings.plugins.get(name, ())]
    flat = [part for plugin in plugins for part in plugin.parts()]
    answering = [plugin for plugin in flat if plugin.answers]
    if not answering:
        # Plugins that only configure make no chain; such a block refuses like an empty one.
        return None, False
    handler: Handler = nobody
    for plugin in reversed(answering):
        handler = link(plugin, handler)
    return handler, all(plugin.static for plugin in answering)


def link(plugin: Plugin, following: Handler) -> Handler:
    """The plugin with what comes after it."""
    name, answer = plugin.name, plugin.answer
    nameless, keeps_ttls = plugin.nameless, plugin.keeps_ttls

    async def handler(query: Query) -> Reply:
        if query.span is not None:
            reply = await _traced(query, query.span)
        else:
            reply = await answer(query, following)
        if not reply.plugin:
            return reply.made_by(name)
        if reply.error == NO_NEXT:
            return reply._replace(error=f"plugin/{plugin.blamed or name}: {NO_NEXT}")
        validity = reply.validity
        if not nameless and validity is not None and (validity.below_labels or validity.family):
            # It came from further on, and this plugin may treat another name otherwise.
            validity = validity.kept_where(plugin.alike, query.name)
            reply = reply._replace(validity=validity)
        if not keeps_ttls and validity is not None and validity.ages is not None:
            return reply._replace(validity=validity.as_it_is())
        return reply

    async def _traced(query: Query, above: Span) -> Reply:
        span = above.child(name)
        try:
            return await answer(query._replace(span=span), following)
        finally:
            span.end()

    return handler


def _check_overlaps(found: Iterable[Site]) -> None:
    """Two blocks without a view may not claim the same zone at the same address."""
    seen: dict[tuple[str, str, str], set[str]] = {}
    for site in found:
        hosts = seen.setdefault((site.zone, site.port, site.transport), set())
        for host in site.settings.hosts:
            if host in hosts and site.settings.filter is None:
                raise CorefileError(f"cannot serve {site.key(host)} - it is already defined")
            if hosts and site.settings.filter is None and "" in {host} | hosts:
                other = site.key("" if host else next(iter(hosts)))
                raise CorefileError(
                    f"cannot serve {site.key(host)} - zone overlap listener capacity with {other}"
                )
            if site.settings.filter is None:
                hosts.add(host)
