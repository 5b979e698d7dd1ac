"""`sampan node-cache`: a DNS cache on every node, with the flags of NodeLocal DNSCache."""

from __future__ import annotations

import sys
from dataclasses import fields
from ipaddress import ip_address

from sampan.cli.goflags import BadFlags, read
from sampan.cluster.parts.dns import banner
from sampan.cluster.parts.node_cache import Flags
from sampan.cluster.parts.node_cache import run as serve
from sampan.dns.plugins import PLUGINS

USAGE = """Usage of sampan-node-cache:
  -basecorefile string
    \tPath to the template Corefile for node-cache (default "/etc/coredns/Corefile.base")
  -conf string
    \tThe same as -corefile
  -corefile string
    \tPath to the Corefile to be used by node-cache (default "/etc/Corefile")
  -dns.port string
    \tDefault port (default "53")
  -domain string
    \tThe cluster's domain, for the built-in template (default "cluster.local")
  -health-port string
    \tport used by health plugin (default "8080")
  -interfacename string
    \tname of the interface to be created (default "nodelocaldns")
  -kubednscm string
    \tPath where the kube-dns configmap will be mounted
  -localip string
    \tcomma-separated string of ip addresses to bind dnscache to
  -metrics-listen-address string
    \taddress to serve metrics on (default "0.0.0.0:9353")
  -pidfile string
    \tPath to write pid file
  -plugins
    \tList installed plugins
  -quiet
    \tQuiet mode (no initialization output)
  -reloadwithsignal
    \treload by itself when the configuration changed
  -rules string
    \tWhat writes the rules: nftables, iptables or auto (default "auto")
  -setupebtables
    \taccepted, and without meaning, as upstream
  -setupinterface
    \tindicates whether network interface should be setup (default true)
  -setupiptables
    \tindicates whether rules should be setup (default true)
  -skipteardown
    \tindicates whether rules should be torn down on exit
  -syncinterval duration
    \tinterval (in seconds) to check for rules (default 60)
  -upstreamsvc string
    \tService name whose cluster IP is upstream for node-cache (default "kube-dns")
  -version
    \tShow version
"""
VALUES = {
    "localip": "ips", "conf": "corefile", "corefile": "corefile", "basecorefile": "base_corefile",
    "kubednscm": "config_folder", "upstreamsvc": "upstream", "dns.port": "port", "p": "port",
    "health-port": "health_port", "metrics-listen-address": "metrics",
    "interfacename": "interface", "syncinterval": "sync_s", "pidfile": "pidfile",
    "rules": "rules", "domain": "domain",
}  # fmt: skip
SWITCHES = {
    "setupinterface": "setup_interface", "setupiptables": "setup_rules", "setupebtables": "",
    "skipteardown": "skip_teardown", "reloadwithsignal": "reload_now", "quiet": "quiet",
    "version": "", "plugins": "",
}  # fmt: skip


def run(argv: list[str]) -> int:
    """Run the command; 2 for bad usage."""
    if any(word in ("-h", "-help", "--help", "--h") for word in argv):
        print(USAGE, file=sys.stderr, end="")
        return 0
    plain = {word.lstrip("-") for word in argv}
    if plain & {"version", "plugins"}:
        print(banner().strip() if "version" in plain else "\n".join(sorted(PLUGINS)))
        return 0
    try:
        flags = flags_from(argv)
    except BadFlags as bad:
        print(f"{bad}\n{USAGE}", file=sys.stderr, end="")
        return 2
    return serve(flags)


def flags_from(argv: list[str]) -> Flags:
    """Raises BadFlags."""
    values, switches = read(argv, VALUES, SWITCHES)
    ips = _ips(values.pop("ips", ""))
    sync_s = _seconds(values.pop("sync_s", "60"))
    for name in ("port", "health_port"):
        if name in values and not values[name].isdigit():
            raise BadFlags(f'invalid port specified - "{values[name]}"')
    if values.get("rules", "auto") not in ("auto", "nftables", "iptables"):
        raise BadFlags(f'invalid value "{values["rules"]}" for -rules')
    known = {field.name for field in fields(Flags)}
    chosen = {SWITCHES[name]: on for name, on in switches.items() if SWITCHES[name] in known}
    return Flags(ips, sync_s=sync_s, **values, **chosen)  # type: ignore[arg-type]


def _ips(text: str) -> tuple[str, ...]:
    found = []
    for word in text.split(","):
        try:
            found.append(ip_address(word))
        except ValueError:
            raise BadFlags(f'invalid localip specified - "{word}"') from None
    if len({ip.version for ip in found}) > 1:
        raise BadFlags("the addresses of -localip must be of one family")
    return tuple(map(str, found))


def _seconds(text: str) -> float:
    """Plain numbers are seconds, as upstream has it."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        return float(text[:-1]) * units[text[-1]] if text[-1:] in units else float(text)
    except ValueError:
        raise BadFlags(f'invalid value "{text}" for flag -syncinterval: parse error') from None
