"""`sampan dns`: the cluster DNS, with CoreDNS' flags (one dash or two)."""

from __future__ import annotations

import sys

from sampan.cli.goflags import BadFlags, read
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
    \tReceive loop: plain, mmsg, native or auto (default "auto")
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


def run(argv: list[str]) -> int:
    """Run the command; 2 for bad usage."""
    if any(word in ("-h", "-help", "--help", "--h") for word in argv):
        print(USAGE, file=sys.stderr, end="")
        return 0
    try:
        values, switches = read(argv, VALUES, SWITCHES)
    except BadFlags as bad:
        print(f"{bad}\n{USAGE}", file=sys.stderr, end="")
        return 2
    if switches.get("version"):
        print(banner().strip())
        return 0
    if switches.get("plugins"):
        print("\n".join(sorted(PLUGINS)))
        return 0
    return serve(Flags(**values, quiet=switches.get("quiet", False)))
