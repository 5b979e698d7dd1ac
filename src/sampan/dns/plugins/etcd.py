"""*etcd* answers from keys in etcd as SkyDNS had them: `/skydns/com/mycompany`."""

from __future__ import annotations

from sampan.client.http import HttpTransport
from sampan.dns import codes, names
from sampan.dns.arguments import BadDuration, Fall, duration
from sampan.dns.backend import Answer, Asked, denial, look_up, reply_from, soa
from sampan.dns.corefile import CorefileError
from sampan.dns.etcdclient import Etcd, Failure
from sampan.dns.plugin import Handler, Plugin, Query, Reply, in_task
from sampan.dns.setup import Args, World
from sampan.dns.skydns import SkyDns

DEFAULT_ENDPOINT = "http://localhost:2379"


class EtcdPlugin(Plugin):
    name = "etcd"

    def __init__(self, world: World) -> None:
        self.world = world
        self.zones: tuple[str, ...] = (".",)
        self.fall = Fall()
        self.endpoints = [DEFAULT_ENDPOINT]
        self.files: dict[str, str] = {}
        self.credentials: tuple[str, str] | None = None
        self.source = SkyDns(world.clock.now)

    async def start(self) -> None:
        contents = {name: _content(path) for name, path in self.files.items()}
        ca, cert, key = (contents.get(name, b"") for name in ("ca", "cert", "key"))
        scheme = "https" if self.files else "http"
        urls = [url if "://" in url else f"{scheme}://{url}" for url in self.endpoints]
        transports = [HttpTransport(url, ca=ca, cert=cert, key=key) for url in urls]
        self.source.etcd = Etcd(transports, self.credentials)

    async def stop(self) -> None:
        if self.source.etcd is not None:
            await self.source.etcd.close()

    async def answer(self, query: Query, following: Handler) -> Reply:
        zone = names.longest_zone(query.name, self.zones)
        if not zone:
            return await following(query)
        asked = Asked(query.name, query.qname, query.type, zone, query)
        asked.outside = True  # nobody tells us when a key changes
        if query.type == codes.SOA:  # of every name, whether it is there or not
            return reply_from(self.source, asked, Answer([soa(self.source, zone)], []))
        await in_task()
        try:
            found = await look_up(self.source, asked)
        except Failure as bad:
            return denial(self.source, asked, codes.SERVFAIL)._replace(error=str(bad))
        if found.records is not None:
            return reply_from(self.source, asked, found)
        if self.fall.through(query.name):
            return await following(query)
        return denial(self.source, asked, codes.NXDOMAIN)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as bad:
        why = f"open {path}: {(bad.strerror or '').lower()}"
        raise CorefileError(f"error reading {path}: {why}") from bad


def setup(args: Args) -> Plugin:
    etcd = EtcdPlugin(args.world)
    for words in args.places():
        etcd.zones = args.zones(words)
        for name in args.properties():
            _property(args, name, etcd)
    return etcd


def _property(args: Args, name: str, etcd: EtcdPlugin) -> None:
    if name in ("stubzones", "debug", "upstream"):
        args.rest()  # of old: they mean nothing any more, and many Corefiles have them
    elif name == "fallthrough":
        etcd.fall = Fall.from_args(args.rest())
    elif name == "path":
        etcd.source.prefix = args.some()[0].strip("/")
    elif name == "endpoint":
        etcd.endpoints = args.some()
    elif name == "tls":
        etcd.files = _files([args.path(word) for word in args.rest()])
    elif name == "credentials":
        etcd.credentials = _credentials(args)
    elif name in ("min-lease-ttl", "max-lease-ttl"):
        _lease_ttl(args, name, etcd.source)
    else:
        raise args.unknown()


def _files(paths: list[str]) -> dict[str, str]:
    if len(paths) == 1:
        return {"ca": paths[0]}
    return dict(zip(("cert", "key", "ca"), paths, strict=False))


def _credentials(args: Args) -> tuple[str, str]:
    words = args.some()
    if len(words) != 2:
        raise args.error("credentials requires 2 arguments, username and password")
    return words[0], words[1]


def _lease_ttl(args: Args, name: str, source: SkyDns) -> None:
    word = args.some()[0]
    try:
        seconds = int(duration(f"{word}s" if word.isdigit() else word))
    except BadDuration:
        seconds = -1
    if seconds < 0:
        raise args.error(
            f"invalid {name} value: invalid TTL format, use format like '30', '30s', '5m', '1h', "
            "or '2h30m'"
        )
    if name == "min-lease-ttl":
        source.min_lease_s = seconds
    else:
        source.max_lease_s = seconds
