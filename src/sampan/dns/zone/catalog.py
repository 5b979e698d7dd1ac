"""Catalog zones (RFC 9432): a zone that lists other zones, and what a new list changes.

zones.catalog.example:   <id>  PTR  member.example.        coo.<id>  PTR  other-catalog.example.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from sampan.dns import codes, names
from sampan.dns.message import Record, read_names
from sampan.dns.rdata import strings

VERSION = b"2"


class BadCatalog(ValueError):
    """The zone's records are no catalog."""


class Member(NamedTuple):
    """`id` is the label that it stands under; `heir` the catalog that may take it over."""

    id: str
    zone: str
    heir: str = ""


class Owner(NamedTuple):
    """Whose list a zone is served for, and under what label it stands there."""

    catalog: str
    id: str


class Change(NamedTuple):
    """What becomes of a zone: served (anew), or no longer. `keeps` its content until there is new;
    `note` says so. Without a `member` nothing changes but what is said, as a warning.
    """

    zone: str
    note: str
    member: Member | None = None
    keeps: bool = False
    gone: bool = False


def members_of(origin: str, records: Iterable[Record]) -> list[Member]:
    """The members in the order of their labels. Raises BadCatalog."""
    found: dict[str, list[str]] = {}
    heirs: dict[str, list[str]] = {}
    versions: list[bytes] = []
    kinds: set[int] = set()
    for record in records:
        if record.cls != codes.IN:
            raise BadCatalog(f"catalog zone {origin} contains non-IN record {record.name}")
        owner = record.name.lower()
        if owner == origin:
            kinds.add(record.type)
        elif record.type == codes.TXT and owner == f"version.{origin}":
            versions.append(b"".join(strings(record.rdata)))
        elif record.type == codes.PTR and owner.endswith(f".zones.{origin}"):
            labels = names.split(owner.removesuffix(f"zones.{origin}"))
            if len(labels) == 1:
                found.setdefault(labels[0], []).append(read_names(record)[0].lower())
            elif len(labels) == 2 and labels[0] == "coo":
                heirs.setdefault(labels[1], []).append(read_names(record)[0].lower())
    _check(origin, kinds, versions)
    return list(_members(origin, found, heirs))


def _check(origin: str, kinds: set[int], versions: list[bytes]) -> None:
    for kind in (codes.SOA, codes.NS):
        if kind not in kinds:
            raise BadCatalog(f"catalog zone {origin} has no {codes.type_name(kind)} record")
    if len(versions) != 1:
        raise BadCatalog(f"catalog zone {origin} must have exactly one version TXT record")
    if versions[0] != VERSION:
        shown = versions[0].decode(errors="replace")
        raise BadCatalog(f'catalog zone {origin} has unsupported version "{shown}"')


def _members(
    origin: str, found: Mapping[str, list[str]], heirs: Mapping[str, list[str]]
) -> Iterator[Member]:
    seen: dict[str, str] = {}
    for ident, zones in sorted(found.items()):
        if len(zones) != 1:
            raise BadCatalog(
                f"catalog member {ident}.zones.{origin} must have exactly one PTR record"
            )
        other = seen.setdefault(zones[0], ident)
        if other != ident:
            raise BadCatalog(
                f"catalog member zone {zones[0]} is listed by both {other} and {ident}"
            )
        heir = heirs.get(ident, [""])
        if len(heir) > 1:
            raise BadCatalog(f"catalog member {ident} has more than one coo PTR record")
        yield Member(ident, zones[0], heir[0])


class Catalogs:
    """The lists as they were last seen, and which zones are served for them."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Member]] = {}
        self.owners: dict[str, Owner] = {}

    def take(
        self, origin: str, members: list[Member], served: Collection[str], accepted: tuple[str, ...]
    ) -> Iterator[Change]:
        """A new list of a catalog: the changes in order. `served` are all zones that there are;
        a member outside `accepted` is left out, unless that is empty.
        """
        self.lists[origin] = members
        taken = [
            member
            for member in members
            if not accepted or names.longest_zone(member.zone, accepted)
        ]
        for member in taken:
            change = self._change(origin, member, served)
            if change is not None:
                if change.member is not None:
                    self.owners[member.zone] = Owner(origin, member.id)
                yield change
        listed = {member.zone for member in taken}
        mine = [zone for zone, owner in self.owners.items() if owner.catalog == origin]
        for zone in mine:
            if zone not in listed:
                del self.owners[zone]
                note = f"Removed catalog member zone {zone} from catalog {origin}"
                yield Change(zone, note, gone=True)
        rejected = len(members) - len(taken)
        if rejected:
            note = f"Skipped {rejected} member zones from catalog {origin}"
            yield Change("", f"{note}: outside configured member zones")

    def _change(self, origin: str, member: Member, served: Collection[str]) -> Change | None:
        zone, owner = member.zone, self.owners.get(member.zone)
        if owner is None:
            if zone in served:
                return _clash(origin, zone)
            return Change(zone, f"Added catalog member zone {zone} from catalog {origin}", member)
        if owner == (origin, member.id):
            return None
        if owner.catalog == origin:
            note = f"Reset catalog member zone {zone} from {origin} after member ID changed from"
            return Change(zone, f"{note} {owner.id} to {member.id}", member)
        return self._moved(origin, member, owner)

    def _moved(self, origin: str, member: Member, owner: Owner) -> Change:
        """From another catalog, which must have named this one as its heir."""
        source = next(
            (one for one in self.lists.get(owner.catalog, ()) if one.zone == member.zone), None
        )
        if source is None or source.heir != origin:
            return _clash(origin, member.zone)
        keeps = owner.id == source.id == member.id
        note = (
            f"Migrated catalog member zone {member.zone} from catalog {owner.catalog} to {origin}"
        )
        if keeps:
            return Change(
                member.zone, f"{note}, preserving state for member ID {source.id}", member, True
            )
        why = f"with state reset after member identity changed from {source.id} to {member.id}"
        return Change(member.zone, f"{note} {why}", member)


def _clash(origin: str, zone: str) -> Change:
    return Change(zone, f"Skipping catalog member zone {zone} from {origin}: zone already exists")
