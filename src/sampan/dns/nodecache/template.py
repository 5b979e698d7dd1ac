"""The Corefile of a node: a template, the addresses of this node, and the kube-dns ConfigMap."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

LOCAL = "__PILLAR__LOCAL__DNS__"
SERVER = "__PILLAR__DNS__SERVER__"
DOMAIN = "__PILLAR__DNS__DOMAIN__"
CLUSTER = "__PILLAR__CLUSTER__DNS__"
UPSTREAM = "__PILLAR__UPSTREAM__SERVERS__"
RESOLV_CONF = "/etc/resolv.conf"
_LABEL = re.compile(r"[a-z0-9_](?:[-a-z0-9_]{0,61}[a-z0-9])?", re.IGNORECASE)
STUB_TTL = 30

_CLUSTER_BLOCK = """{zone}:53 {{
    errors
    cache {{
        success 9984 30
        denial 9984 5
        serve_stale 1h verify 500ms
    }}
    reload
    loop
    bind {local}
    forward . {cluster} {{
        force_tcp
    }}
    prometheus :9253{health}
}}
"""
_HEALTH = """
    health {first}:{port}"""
_REST = f""".:53 {{
    errors
    cache 30 {{
        serve_stale 1h verify 500ms
    }}
    reload
    loop
    bind {LOCAL}
    forward . {UPSTREAM}
    prometheus :9253
}}
"""


class BadConfig(ValueError):
    """The ConfigMap holds something else than it should."""


@dataclass(frozen=True, slots=True)
class DnsConfig:
    """What the ConfigMap `kube-dns` says: servers for some domains, and for the rest."""

    stubs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    upstreams: Sequence[str] = ()


def read_config(folder: str) -> DnsConfig:
    """The ConfigMap as it is mounted: files `stubDomains` and `upstreamNameservers`, in JSON.

    Raises BadConfig.
    """
    try:
        stubs = _json(Path(folder) / "stubDomains", {})
        upstreams = _json(Path(folder) / "upstreamNameservers", [])
    except (OSError, ValueError) as bad:
        raise BadConfig(f"{folder}: {bad}") from bad
    if not isinstance(stubs, dict) or not all(isinstance(v, list) for v in stubs.values()):
        raise BadConfig(f"{folder}/stubDomains is no map of lists")
    if not isinstance(upstreams, list):
        raise BadConfig(f"{folder}/upstreamNameservers is no list")
    for domain, servers in stubs.items():
        if not all(map(_LABEL.fullmatch, domain.removesuffix(".").split("."))):
            raise BadConfig(f"{folder}/stubDomains: invalid domain name: {domain!r}")
        if not servers:
            raise BadConfig(f"{folder}/stubDomains: {domain} has no nameserver")
        _check(servers, f"{folder}/stubDomains: {domain}")
    _check(upstreams, f"{folder}/upstreamNameservers")
    return DnsConfig(stubs, tuple(upstreams))


def _check(servers: Sequence[object], where: str) -> None:
    """What *forward* takes: addresses with or without a port, of plain DNS or TLS, or a file."""
    for server in servers:
        text = str(server).removeprefix("dns://").removeprefix("tls://")
        if not isinstance(server, str) or not (_is_server(text) or Path(server).is_file()):
            raise BadConfig(f"{where}: invalid nameserver: {server!r}")


def _is_server(text: str) -> bool:
    for host, port in ((text, "53"), _host_and_port(text)):
        try:
            ip_address(host)
        except ValueError:
            continue
        return port.isascii() and port.isdigit() and 0 < int(port) < 65536
    return False


def _host_and_port(text: str) -> tuple[str, str]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), port


def _json(path: Path, default: object) -> object:
    try:
        text = path.read_text()
    except FileNotFoundError:
        return default
    return json.loads(text) if text.strip() else default


@dataclass(frozen=True, slots=True)
class Node:
    """Where this node listens, and whom it asks."""

    ips: Sequence[str]
    cluster_dns: str
    port: str = "53"
    health_port: str = "8080"
    domain: str = "cluster.local"


def base(node: Node) -> str:
    """The template that is used where none is given: answers that ran out are served on while
    nobody else answers.
    """
    health = _HEALTH.format(first=LOCAL_FIRST, port=node.health_port)
    zones = (node.domain, "in-addr.arpa", "ip6.arpa")
    blocks = [
        _CLUSTER_BLOCK.format(
            zone=zone, local=LOCAL, cluster=CLUSTER, health=health if number == 0 else ""
        )
        for number, zone in enumerate(zones)
    ]
    text = "".join(blocks) + _REST
    first = f"[{node.ips[0]}]" if ":" in node.ips[0] else node.ips[0]
    return text.replace(LOCAL_FIRST, first).replace(":53 {", f":{node.port} {{")


LOCAL_FIRST = "__FIRST__"


def corefile(template: str, node: Node, config: DnsConfig) -> str:
    """The template filled in, with a block for every stub domain."""
    local = " ".join(node.ips)
    if config.upstreams:
        # Servers of one's own choice are asked as the client asked, not over TCP only.
        template = _without_tcp(template)
    values = {
        UPSTREAM: " ".join(config.upstreams) or RESOLV_CONF,
        CLUSTER: node.cluster_dns,
        LOCAL: local,
        SERVER: "",
        DOMAIN: node.domain,
    }
    for name, value in values.items():
        template = template.replace(name, value)
    return template + "".join(
        _stub(domain, servers, node.port, local) for domain, servers in config.stubs.items()
    )


def _without_tcp(template: str) -> str:
    lines, out = template.splitlines(), list[str]()
    inside = False
    for line in lines:
        words = line.split()
        if words[:1] == ["forward"] and UPSTREAM in words:
            inside = words[-1] == "{"
        elif inside and words == ["force_tcp"]:
            continue
        elif inside and words == ["}"]:
            inside = False
        out.append(line)
    return "\n".join(out) + "\n"


def _stub(domain: str, servers: Sequence[str], port: str, local: str) -> str:
    return (
        f"{domain}:{port} {{\n    errors\n    cache {STUB_TTL}\n    bind {local}\n"
        f"    forward . {' '.join(servers)}\n}}\n"
    )
