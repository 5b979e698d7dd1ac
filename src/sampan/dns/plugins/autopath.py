"""*autopath* walks a client's search path on the server, so that the client asks once."""

from __future__ import annotations

from sampan.dns import codes, names
from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Handler, Plugin, Query, Reply, failure
from sampan.dns.rdata import name_record
from sampan.dns.resolvconf import search_list
from sampan.dns.setup import Args, Settings, World

ALIAS_TTL = 3600


class Autopath(Plugin):
    """The search path is that of a file, or what another plugin knows of the client."""

    def __init__(self, world: World, block: Settings) -> None:
        self.world = world
        self.block = block
        self.zones: tuple[str, ...] = (".",)
        self.search: list[str] = []
        self.source = ""
        self._provider: Plugin | None = None

    async def start(self) -> None:
        found = self.block.plugins.get(self.source, []) if self.source else []
        if found and not hasattr(found[0], "search_path"):
            raise CorefileError(
                f"plugin/autopath: {self.source} does not implement the AutoPather interface"
            )
        self._provider = found[0] if found else None

    async def answer(self, query: Query, following: Handler) -> Reply:
        if not names.longest_zone(query.name, self.zones):
            return await following(query)
        search = self._path(query)
        if not search or not names.is_below(query.name, search[0]):
            return await following(query)
        if query.name == search[0]:
            # Upstream finds no name in front of the domain, and gives up.
            text = f"trimzone: overshot qname: {query.qname}for zone {search[0]}"
            return failure(codes.SERVFAIL, text)
        base = query.qname[: len(query.qname) - len(search[0])].rstrip(".")
        return await self._walk(query, following, base, search)

    def _path(self, query: Query) -> list[str]:
        if self._provider is None:
            return self.search
        path: list[str] = self._provider.search_path(query)  # type: ignore[attr-defined]
        return path

    async def _walk(self, query: Query, following: Handler, base: str, search: list[str]) -> Reply:
        """The first reply that is no NXDOMAIN; when all are, the first of them."""
        first: Reply | None = None
        for domain in (*search, ""):
            name = names.fqdn(f"{base}.{domain}" if base else domain or ".")
            reply = await following(query.asking(name))
            if reply.error:
                return reply
            first = first or reply
            if not reply.made or reply.rcode == codes.NXDOMAIN:
                continue
            self.world.counters.autopath.labels(query.server.name).inc()
            return _aliased(query, reply)
        assert first is not None
        return first


def _aliased(query: Query, reply: Reply) -> Reply:
    """An alias from the name that was asked to the one that was found."""
    if not reply.answer:
        return reply
    first = reply.answer[0]
    if first.name.lower() == query.name:
        return reply
    alias = name_record(query.qname, codes.CNAME, first.ttl, first.name)
    return reply._replace(answer=(alias, *reply.answer), validity=None)


def setup(args: Args) -> Plugin:
    autopath = Autopath(args.world, args.block)
    for words in args.places():
        if not words:
            raise CorefileError("no resolv-conf specified")
        source = words.pop()
        autopath.zones = args.zones(words)
        if source.startswith("@"):
            autopath.source = source[1:]
        else:
            autopath.search = _search_of(source)
    return autopath


def _search_of(path: str) -> list[str]:
    try:
        return search_list(path)
    except OSError as bad:
        why = (bad.strerror or "").lower()
        raise CorefileError(f'failed to parse "{path}": open {path}: {why}') from bad
