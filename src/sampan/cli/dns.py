"""`sampan dns`: the cluster DNS, with CoreDNS' flags (one dash or two)."""

from __future__ import annotations

import sys

from sampan.cluster.parts.dns import Flags, banner
from sampan.cluster.parts.dns import run as serve
from sampan.dns.plugins import PLUGINS

USAGE = """Usage of sampan-dns:
  -conf string
    \tCorefile to load (default "Corefile")
  -dns.port string
    \tDefault port (default "53")
  -p string
    \tDefault port (default "53")
  -pidfile string
    \tPath to write pid file
  -plugins
    \tList installed plugins
  -quiet
    \tQuiet mode (no initialization output)
  -version
    \tShow version
"""
OWN = """  -processes string
    \tWatch in the answering process or in one of its own: one, two or auto (default "auto")
  -receive string
    \tReceive loop: plain, mmsg or auto (default "auto")
"""
SWITCHES = frozenset(("quiet", "version", "plugins"))
VALUES = {
    "conf": "conf",
    "dns.port": "port",
    "p": "port",
    "pidfile": "pidfile",
    "receive": "receive",
    "processes": "processes",
}


class BadFlags(ValueError):
    """The text for standard error."""


def run(argv: list[str]) -> int:
    """Run the command; 2 for bad usage."""
    if any(word in ("-h", "-help", "--help", "--h") for word in argv):
        print(USAGE, file=sys.stderr, end="")
        return 0
    try:
        values, switches = read(argv)
    except BadFlags as bad:
        print(f"{bad}\n{USAGE}", file=sys.stderr, end="")
        return 2
    if "version" in switches:
        print(banner().strip())
        return 0
    if "plugins" in switches:
        print("\n".join(sorted(PLUGINS)))
        return 0
    return serve(Flags(**values, quiet="quiet" in switches))


def read(argv: list[str]) -> tuple[dict[str, str], set[str]]:
    """Values and switches, in the manner of Go's flag package. Raises BadFlags."""
    values: dict[str, str] = {}
    switches: set[str] = set()
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-"):
            raise BadFlags(f"extra command line arguments: {[word, *rest]}")
        if name in SWITCHES:
            if value in ("", "true", "1"):
                switches.add(name)
        elif name in VALUES:
            if not equals and not rest:
                raise BadFlags(f"flag needs an argument: -{name}")
            values[VALUES[name]] = value if equals else rest.pop(0)
        else:
            raise BadFlags(f"flag provided but not defined: -{name}")
    return values, switches
