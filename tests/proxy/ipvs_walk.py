"""Walking packets through IPVS mode: its constant rules, its sets and its virtual servers."""

from __future__ import annotations

from sampan.linux.base.iptables_text import document
from sampan.linux.walk.iptables import Walker
from sampan.linux.walk.packet import Host
from sampan.proxy.backends.ipvs.layout import JUMPS, chains
from sampan.proxy.backends.ipvs.render import State
from sampan.proxy.settings import Settings
from tests.proxy.case_folders import HOST


def ipvs_walker(whole: State, settings: Settings, family: int, host: Host = HOST) -> Walker:
    """A walker for one family of a node with this state."""
    one = settings.family(family)
    assert one is not None
    sets: dict[str, set[str]] = {}
    for name, entry in whole.entries:
        sets.setdefault(name, set()).add(entry)
    servers = {
        tuple(server): tuple((end.ip, end.port) for end in serving.destinations)
        for server, serving in whole.servers.items()
    }
    return Walker(
        document(chains(one), JUMPS),
        Host(host.addresses | whole.addresses),
        sets={name: frozenset(entries) for name, entries in sets.items()},
        servers=servers,
    )
