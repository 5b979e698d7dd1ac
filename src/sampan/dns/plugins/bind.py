"""*bind* listens at some addresses only, instead of everywhere."""

from __future__ import annotations

import ipaddress

from sampan.dns.corefile import CorefileError
from sampan.dns.plugin import Plugin
from sampan.dns.setup import Args


def setup(args: Args) -> Plugin | None:
    found: list[str] = []
    for words in args.places():
        if not words:
            raise CorefileError("at least one address or interface name is expected")
        chosen = [a for word in words for a in _addresses(args, word)]
        excepted: set[str] = set()
        for name in args.properties():
            if name != "except":
                raise CorefileError(f'invalid option "{name}"')
            without = args.rest()
            if not without:
                raise CorefileError(
                    "at least one address or interface must be given to except subdirective"
                )
            excepted |= {a for word in without for a in _addresses(args, word)}
        found += [a for a in chosen if a not in excepted]
    args.block.hosts = list(dict.fromkeys(found))
    return None


def _addresses(args: Args, word: str) -> list[str]:
    """An address as it is, or all addresses of an interface."""
    of_interface = [address for name, address in args.world.addresses() if name == word]
    if of_interface:
        return of_interface
    try:
        return [str(ipaddress.ip_address(word if "%" not in word else ""))]
    except ValueError:
        raise CorefileError(f'not a valid IP address or interface name: "{word}"') from None
