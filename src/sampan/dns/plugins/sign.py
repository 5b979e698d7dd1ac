"""*sign* signs zone files, and signs them again before the signatures end."""

from __future__ import annotations

import os
import struct
import tempfile
from dataclasses import dataclass, field

from sampan.dns import codes, zonefile
from sampan.dns.corefile import CorefileError
from sampan.dns.message import Record
from sampan.dns.names import wire
from sampan.dns.plugin import Plugin
from sampan.dns.rdata import bitmap_wire, line
from sampan.dns.setup import Args, World
from sampan.dns.signing import SHA1, SHA256, BadKey, Key, load, sets, sign
from sampan.dns.zone.zone import BadZone, Node, Zone, covered_by

HOUR_S, DAY_S = 3600, 86400
CHECK_S = 5 * HOUR_S
MAX_AGE_S, MIN_LEFT_S = 6 * DAY_S, 7 * DAY_S
VALID_S, EARLY_S = 32 * DAY_S, 3 * HOUR_S
REPLACED = frozenset((codes.DNSKEY, codes.RRSIG, codes.CDS, codes.CDNSKEY, codes.NSEC))


@dataclass(slots=True)
class Signer:
    """One zone: the file to sign, and where the signed one goes."""

    path: str
    origin: str
    early_s: float
    late_s: float
    folder: str = "/var/lib/coredns"
    keys: list[Key] = field(default_factory=list)

    @property
    def target(self) -> str:
        return os.path.join(self.folder, f"db.{self.origin}signed")

    def why(self, now: float) -> str:
        """Why the zone must be signed; empty while the signatures are good."""
        try:
            with open(self.target, encoding="utf-8") as file:
                records = list(zonefile.read(file.read(), ".", self.target))
        except OSError as bad:
            return f"open {self.target}: {(bad.strerror or '').lower()}"
        except zonefile.BadZone as bad:
            return str(bad)
        for record in records[:100]:
            if covered_by(record) == codes.SOA:
                until, since = struct.unpack_from("!II", record.rdata, 8)
                if now - since > MAX_AGE_S:
                    return "inception was too long ago"
                if since > now:
                    return "inception is in the future"
                return "expiration is near" if until - now < MIN_LEFT_S else ""
        return "no SOA RRSIG found in first 100 records"

    def sign(self, now: float) -> list[Record]:
        """The signed zone. Raises OSError, BadZone."""
        zone = self._read(int(now))
        period = (int(now - EARLY_S - self.early_s), int(now + VALID_S + self.late_s))
        minimum = int.from_bytes(zone.soa[0].rdata[-4:])
        chained = _chained(zone, minimum)
        return [record for group in self._signed(zone, chained, period) for record in group]

    def _read(self, serial: int) -> Zone:
        with open(self.path, encoding="utf-8") as file:
            content = file.read()
        try:
            read = list(zonefile.read(content, self.origin, self.path))
        except zonefile.BadZone as bad:
            raise BadZone(str(bad)) from bad
        records = [record for record in read if record.type not in REPLACED]
        soas = [record for record in records if record.type == codes.SOA]
        if not soas:
            raise BadZone(f'file "{self.path}" has no SOA record')
        records = [_with_serial(r, serial) if r.type == codes.SOA else r for r in records]
        for key in self.keys:
            records += _key_records(key.named(self.origin, soas[0].ttl))
        return Zone(self.origin, records)

    def _signed(self, zone: Zone, names: list[str], period: tuple[int, int]) -> list[list[Record]]:
        groups = [list(zone.soa), *([list(zone.ns)] if zone.ns else [])]
        for name in names:
            groups += sets(r for part in zone.nodes[name].values() for r in part)
        found = []
        for group in groups:
            below_apex = group[0].name != self.origin
            found.append(group)
            if group[0].type == codes.NS and below_apex:
                continue  # a delegation is not ours to sign
            found += [[sign(group, key, self.origin, period)] for key in self.keys]
        unsigned = [name for name in zone.ordered if name not in names]
        found += [list(part) for name in unsigned for part in zone.nodes[name].values()]
        return found


def _with_serial(record: Record, serial: int) -> Record:
    raw = record.rdata
    return record._replace(rdata=raw[:-20] + struct.pack("!I", serial) + raw[-16:])


def _key_records(key: Key) -> list[Record]:
    own = key.record
    return [
        own,
        own._replace(type=codes.CDNSKEY),
        own._replace(type=codes.CDS, rdata=key.digest(SHA1)),
        own._replace(type=codes.CDS, rdata=key.digest(SHA256)),
    ]


def _chained(zone: Zone, ttl: int) -> list[str]:
    """Add the NSEC chain; the names that we are an authority for, in order."""
    names = [name for name in zone.ordered if not _below_cut(zone, name)]
    if zone.origin not in names:
        names.insert(0, zone.origin)
        zone.nodes[zone.origin] = {}
    for name, following in zip(names, [*names[1:], names[0]], strict=True):
        node: Node = zone.nodes[name]
        types = {*node, codes.RRSIG, codes.NSEC}
        if name == zone.origin:
            types |= {codes.NS, codes.SOA}
        data = wire(following) + bitmap_wire(sorted(types))
        node[codes.NSEC] = (Record(name, codes.NSEC, codes.IN, ttl, data),)
    return names


def _below_cut(zone: Zone, name: str) -> bool:
    """Whether the name is a delegation or glue below one: not ours to sign."""
    while name not in (zone.origin, "."):
        if codes.NS in zone.nodes.get(name, {}):
            return True
        name = name.partition(".")[2] or "."
    return False


class Sign(Plugin):
    answers = False
    has_work = True

    def __init__(self, world: World, signers: list[Signer]) -> None:
        self.world = world
        self.signers = signers

    async def run(self) -> None:
        while True:
            for signer in self.signers:
                self.check(signer)
            await self.world.clock.sleep(CHECK_S)

    def check(self, signer: Signer) -> None:
        """Sign the zone where that is due."""
        log, now = self.world.log, self.world.clock.now()
        why = signer.why(now)
        if not why:
            log.info(
                f'plugin/sign: Skipping signing zone "{signer.origin}" in "{signer.target}": '
                "signatures are valid"
            )
            return
        log.info(f'plugin/sign: Signing "{signer.origin}" because {why}')
        tags = ",".join(str(key.tag) for key in signer.keys)
        try:
            records = signer.sign(now)
            _write(signer, records)
        except OSError as bad:
            why = f"open {bad.filename}: {(bad.strerror or '').lower()}"
            log.warning(
                f'plugin/sign: Error signing "{signer.origin}": '
                f"failed to move zone file into place: {why}"
            )
            return
        except BadZone as bad:
            log.warning(
                f'plugin/sign: Error signing "{signer.origin}" with key tags "{tags}": {bad}'
            )
            return
        log.info(
            f'plugin/sign: Successfully signed zone "{signer.origin}" in "{signer.target}" '
            f'with key tags "{tags}" and {int(now)} SOA serial'
        )


def _write(signer: Signer, records: list[Record]) -> None:
    """Beside the target, then moved over it: a reader never sees half a zone."""
    handle, name = tempfile.mkstemp(prefix="signed-", dir=signer.folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.writelines(line(record) + "\n" for record in records)
    os.replace(name, signer.target)


def setup(args: Args) -> Plugin:
    chance, signers = args.world.chance, list[Signer]()
    while args.next():
        words = args.rest()
        if not words:
            raise args.wrong_count()
        early_s, late_s = chance.uniform(0, 18 * HOUR_S), chance.uniform(0, 5 * DAY_S)
        made = [
            Signer(args.path(words[0]), origin, early_s, late_s) for origin in args.zones(words[1:])
        ]
        for name in args.properties():
            _property(args, name, made)
        signers += made
    return Sign(args.world, signers)


def _property(args: Args, name: str, signers: list[Signer]) -> None:
    words = args.rest()
    if name == "key":
        if len(words) < 2 or words[0] != "file":
            raise args.wrong_count()
        keys = [_key(args.path(word)) for word in words[1:]]
        for signer in signers:
            signer.keys += keys
    elif name == "directory":
        if len(words) != 1:
            raise CorefileError('can only be one argument after "directory"')
        for signer in signers:
            signer.folder = args.path(words[0])
    else:
        raise args.unknown()


def _key(path: str) -> Key:
    try:
        key = load(path)
    except OSError as bad:
        raise CorefileError(f"open {bad.filename}: {(bad.strerror or '').lower()}") from bad
    except BadKey as bad:
        raise CorefileError(str(bad)) from bad
    if not key.is_entry_point:
        raise CorefileError(f'DNSKEY in "{path}.key" is not a CSK/KSK')
    return key
