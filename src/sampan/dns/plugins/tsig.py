"""*tsig* checks the signatures of queries, signs their replies, and may demand a signature."""

from __future__ import annotations

from collections.abc import Callable

from sampan.dns import codes, names
from sampan.dns import tsig as signatures
from sampan.dns.plugin import Handler, Plugin, Query, Reply, Seal, reply_to
from sampan.dns.setup import Args, Settings
from sampan.dns.tsig import BADKEY, BADSIG, NOTAUTH, Signature, Signer

OPCODES = {"QUERY": 0, "IQUERY": 1, "STATUS": 2, "NOTIFY": 4, "UPDATE": 5}
EVERY = range(1 << 16)


class Tsig(Plugin):
    static = True  # a signed reply is never kept

    def __init__(self, settings: Settings, zones: tuple[str, ...], now: Callable[[], float]):
        self.keys = settings.tsig_keys
        self.zones = zones
        self.now = now
        self.types: range | set[int] = set()
        self.opcodes: range | set[int] = set()

    async def answer(self, query: Query, following: Handler) -> Reply:
        if not names.longest_zone(query.name, self.zones):
            return await following(query)
        if not any(record.type == signatures.TYPE for record in query.message.additional[-1:]):
            if query.type in self.types or query.message.opcode in self.opcodes:
                return reply_to(query, aa=False, rcode=codes.REFUSED)
            return await following(query)
        signature = signatures.found(query.wire)
        if signature is None:
            return reply_to(query, aa=False, rcode=codes.FORMERR)
        return await self._signed(query, signature, following)

    async def _signed(self, query: Query, signature: Signature, following: Handler) -> Reply:
        fault = signatures.fault(signature, self.keys, self.now())
        key = None if fault in (BADKEY, BADSIG) else self.keys[signature.key]
        if fault:
            reply = reply_to(query, aa=False, rcode=NOTAUTH)
        else:
            rest = query.message._replace(additional=query.message.additional[:-1])
            reply = await following(query._replace(message=rest))
        signer = Signer(signature, key, self.now, fault)
        return reply._replace(validity=None, seal=Seal(signer.size, signer.sign))


def setup(args: Args) -> Plugin:
    plugin: Tsig | None = None
    for words in args.places():
        if plugin is not None:
            raise args.wrong_count()
        plugin = Tsig(args.block, args.zones(words), args.world.clock.now)
        for name in args.properties():
            _read(args, plugin, name)
    assert plugin is not None
    return plugin


def _read(args: Args, plugin: Tsig, name: str) -> None:
    if name in ("secret", "secrets"):
        _add(args, plugin, _secrets(args) if name == "secrets" else _secret(args))
    elif name == "require":
        plugin.types = _chosen(args, codes.TYPES)
    elif name == "require_opcode":
        plugin.opcodes = _chosen(args, OPCODES)
    else:
        raise args.wrong_count()  # upstream has no other words for it


def _secret(args: Args) -> dict[str, bytes]:
    words = args.rest()
    if len(words) != 2:
        raise args.wrong_count()
    try:
        return {names.fqdn(words[0]).lower(): signatures.secret(words[1])}
    except ValueError as bad:
        raise args.error(f"the secret of {words[0]} is not base64: {bad}") from bad


def _secrets(args: Args) -> dict[str, bytes]:
    path = args.path(args.one())
    try:
        with open(path, encoding="utf-8") as file:
            return signatures.read_keys(file.read())
    except (OSError, ValueError) as bad:
        args.world.log.error(f"plugin/tsig: {path}: {bad}")
        raise args.wrong_count() from bad


def _add(args: Args, plugin: Tsig, found: dict[str, bytes]) -> None:
    for name, key in found.items():
        if name in plugin.keys:
            raise args.wrong_count()
        plugin.keys[name] = key


def _chosen(args: Args, known: dict[str, int]) -> range | set[int]:
    words = args.some()
    if words[0] == "all":
        return EVERY
    if words[0] == "none":
        return set()
    for word in words:
        if word not in known:
            raise args.wrong_count()
    return {known[word] for word in words}
