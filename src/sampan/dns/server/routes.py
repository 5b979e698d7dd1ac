"""One listening address: its sites by zone, the longest match wins, a view may pass a query on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sampan.dns import codes, names
from sampan.dns.chain import Site
from sampan.dns.plugin import Query, Reply, failure

MAX_DEPTH = 16


class Routes:
    """`name` is what metrics call the address: `dns://:53`."""

    def __init__(self, name: str, sites: Iterable[Site]) -> None:
        self.name = name
        self.zones: dict[str, list[Site]] = {}
        for site in sites:
            self.zones.setdefault(site.zone, []).append(site)
        self._only = self.zones.get(".") if len(self.zones) == 1 else None
        """All there is to choose from, where that is the root."""
        everyone = [site for found in self.zones.values() for site in found]
        self.chaos = any(site.settings.chaos for site in everyone)
        self.static = all(
            site.static and site.settings.filter is None and "metadata" not in site.settings.plugins
            for site in everyone
        )

    async def resolve(self, query: Query) -> Reply:
        """The reply of the site that the name belongs to."""
        if query.depth > MAX_DEPTH:
            return failure(codes.SERVFAIL, "too many look-ups for one query")
        if query.cls != codes.IN and not self.chaos:
            return refusal()
        for site in self._candidates(query):
            if site.handler is None:
                return refusal()
            asked = query.at(site.zone, site.settings.view)
            if "metadata" in site.settings.plugins:
                asked = asked._replace(metadata=_metadata(site, asked))
            if site.settings.filter is None or site.settings.filter(asked):
                return self._alone(await site.handler(asked), query.name)
        return refusal()

    def _alone(self, reply: Reply, name: str) -> Reply:
        """A reply for all names below one is for this name alone where another zone begins."""
        validity = reply.validity
        if validity is None or not (validity.below_labels or validity.family):
            return reply
        if self._only is not None:
            return reply
        return reply._replace(validity=validity.kept_where(self._is_whole, name))

    def _is_whole(self, end: str) -> bool:
        return not any(zone.endswith("." + end) for zone in self.zones)

    def _candidates(self, query: Query) -> Iterable[Site]:
        """The sites of the longest zone first; for DS the parent's, the child's only as the last
        resort, as the record stands above the cut.
        """
        if self._only is not None and query.type != codes.DS:
            return self._only
        return self._matching(query)

    def _matching(self, query: Query) -> Iterator[Site]:
        zones, name, pos = self.zones, query.name, 0
        held: Site | None = None
        while True:
            for site in zones.get(name[pos:], ()):
                if query.type != codes.DS or site.handler is None:
                    yield site
                else:
                    held = site
            pos = name.find(".", pos) + 1
            if pos == 0 or pos >= len(name):
                break
        if held is not None:
            yield held
        elif name != ".":
            yield from (site for site in zones.get(".", ()) if site.handler is not None)


def refusal() -> Reply:
    return failure(codes.REFUSED)._replace(plugin="dropped")


def _metadata(site: Site, query: Query) -> dict[str, Callable[[], str]]:
    """What plugins know beforehand, of names in the zones that *metadata* has."""
    facts: dict[str, Callable[[], str]] = {}
    if not names.longest_zone(query.name, site.settings.facts):
        return facts
    for plugin in site.settings.all_plugins():
        for part in plugin.parts():
            facts.update(part.metadata(query))
    return facts
