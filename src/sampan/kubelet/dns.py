"""What a pod knows of names: resolv.conf, hosts and host name, in upstream's form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.api.meta import Json
from sampan.kubelet.pods import is_host_network
from sampan.kubelet.settings import Dns

MAX_NAMESERVERS, MAX_SEARCHES, MAX_SEARCH_CHARS = 3, 32, 2048
MAX_NAME = 253
"""A search domain beyond this makes some resolvers abort."""
MAX_LABEL, MAX_FQDN = 63, 64
FORMING, NO_CLUSTER_DNS = "DNSConfigForming", "MissingClusterDNS"
LIMITS = "CheckLimitsForResolvConf"
CLUSTER_SEARCHES = 3
"""What a pod searches before the node's own list."""


class Complaint(NamedTuple):
    """Something that an event tells about the pod's configuration."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """The three parts of the file, and what had to be left out of it."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    complaints: tuple[Complaint, ...] = field(default=(), compare=False)

    def text(self) -> str:
        rows = [f"search {' '.join(self.searches)}"] if self.searches else []
        rows += [f"nameserver {server}" for server in self.nameservers]
        rows += [f"options {' '.join(self.options)}"] if self.options else []
        return "".join(row + "\n" for row in rows)


class TooLong(Exception):
    """The host name does not fit into the kernel's 64 bytes."""


def parse(text: str) -> ResolvConf:
    """A node's own resolv.conf."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            # Upstream keeps a lone "." out: it makes some resolvers ask for everything twice.
            searches = tuple(word.rstrip(".") or "." for word in words[1:])
            searches = tuple(word for word in searches if word != ".")
        elif words[0] == "options":
            options |= {word.partition(":")[0]: word for word in words[1:]}
    return ResolvConf(tuple(servers), searches, tuple(options.values()))


def node_trouble(dns: Dns) -> str:
    """What is wrong with the node's own file, in upstream's words; empty when nothing is, or when
    there is no such file by wish. Pods get what fits; this tells why the rest is missing.
    """
    path = dns.resolv_conf
    if not path:
        return ""
    try:
        with open(path) as file:
            text = file.read()
    except OSError as bad:
        return f"open {path}: {(bad.strerror or str(bad)).lower()}"
    if any(line.split() == ["nameserver"] for line in text.splitlines()):
        return "nameserver list is empty "
    return _search_trouble(path, parse(text).searches, bool(dns.domain))


def _search_trouble(path: str, searches: tuple[str, ...], in_cluster: bool) -> str:
    most = MAX_SEARCHES - (CLUSTER_SEARCHES if in_cluster else 0)
    if len(searches) > most:
        return (
            f"Resolv.conf file '{path}' contains search line consisting of more than {most} "
            "domains!"
        )
    if any(len(search) > MAX_NAME for search in searches):
        return (
            f'Resolv.conf file "{path}" contains a search path which length is more than allowed '
            f"{MAX_NAME} chars!"
        )
    if len(" ".join(searches)) > MAX_SEARCH_CHARS:
        return (
            f"Resolv.conf file '{path}' contains search line which length is more than allowed "
            f"{MAX_SEARCH_CHARS} chars!"
        )
    return ""


def resolv_conf(
    pod: Json, node: ResolvConf, dns: Dns, node_ips: tuple[str, ...] = ()
) -> ResolvConf:
    """By dnsPolicy and dnsConfig."""
    policy = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if policy == "ClusterFirst" and is_host_network(pod):
        policy = "Default"
    if policy == "ClusterFirstWithHostNet":
        policy = "ClusterFirst"
    complaints: tuple[Complaint, ...] = ()
    base = node if dns.resolv_conf else _nobody(node_ips)
    if policy == "None":
        base = ResolvConf()
    elif policy == "ClusterFirst" and dns.servers:
        namespace, domain = pod["metadata"]["namespace"], dns.domain
        own = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain) if domain else ()
        base = ResolvConf(dns.servers, _unique((*own, *node.searches)), ("ndots:5",))
    elif policy == "ClusterFirst":
        complaints = (
            Complaint(
                NO_CLUSTER_DNS,
                f'pod: "{_shown(pod)}". kubelet does not have ClusterDNS IP configured and cannot '
                'create Pod using "ClusterFirst" policy. Falling back to "Default" policy.',
            ),
        )
    config = pod["spec"].get("dnsConfig")
    merged = base if config is None else _merge(base, config)
    return _limited(merged, complaints)


def _nobody(node_ips: tuple[str, ...]) -> ResolvConf:
    """A kubelet that was given no resolv.conf turns look-ups off: whoever is meant by no
    nameserver at all, the machine itself, is named.
    """
    servers = _unique("::1" if ":" in ip else "127.0.0.1" for ip in node_ips)
    return ResolvConf(servers or ("127.0.0.1",), (".",))


def _shown(pod: Json) -> str:
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta.get('uid', '')})"


def _merge(base: ResolvConf, config: Json) -> ResolvConf:
    """The pod's own after the policy's; an option of the pod replaces the one of its name."""
    servers = _unique((*base.nameservers, *(config.get("nameservers") or ())))
    searches = _unique((*base.searches, *(config.get("searches") or ())))
    options = {option.partition(":")[0]: option for option in base.options}
    for option in config.get("options") or ():
        value = option.get("value")
        options[option["name"]] = option["name"] + (f":{value}" if value else "")
    return ResolvConf(servers, searches, tuple(options.values()))


def _limited(conf: ResolvConf, complaints: tuple[Complaint, ...]) -> ResolvConf:
    """What resolvers read at most; the rest is left out and said."""
    servers = conf.nameservers
    if len(servers) > MAX_NAMESERVERS:
        servers = servers[:MAX_NAMESERVERS]
        text = "Nameserver limits were exceeded, some nameservers have been omitted, "
        text += f"the applied nameserver line is: {' '.join(servers)}"
        complaints += (Complaint(FORMING, text),)
    kept = conf.searches[:MAX_SEARCHES]
    searches = tuple(search for search in kept if len(search) <= MAX_NAME)
    while len(" ".join(searches)) > MAX_SEARCH_CHARS:
        searches = searches[:-1]
    if searches != conf.searches:
        text = "Search Line limits were exceeded, some search paths have been omitted, "
        text += f"the applied search line is: {' '.join(searches)}"
        complaints += (Complaint(FORMING, text),)
    return ResolvConf(servers, searches, conf.options, complaints)


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def hostname(pod: Json, dns: Dns, node_name: str) -> str:
    """The kernel's host name inside the pod. Raises TooLong."""
    spec = pod["spec"]
    override: str = spec.get("hostnameOverride") or ""
    if override:
        return override
    if is_host_network(pod):
        return node_name
    short, full = short_name(pod), fqdn(pod, dns)
    if not (spec.get("setHostnameAsFQDN") and full):
        return short
    if len(full) > MAX_FQDN:
        raise TooLong(
            f"Failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too "
            f"long ({MAX_FQDN} characters is the max, {len(full)} characters requested)"
        )
    return full


def short_name(pod: Json) -> str:
    name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
    return name[:MAX_LABEL].rstrip("-.")


def fqdn(pod: Json, dns: Dns) -> str:
    """`host.subdomain.namespace.svc.domain`; empty without a subdomain."""
    subdomain = pod["spec"].get("subdomain")
    if not subdomain:
        return ""
    return f"{short_name(pod)}.{subdomain}.{pod['metadata']['namespace']}.svc.{dns.domain}"


def hosts(pod: Json, ips: tuple[str, ...], dns: Dns, node_hosts: str) -> str:
    """The text of /etc/hosts."""
    if is_host_network(pod):
        head = "# Kubernetes-managed hosts file (host network).\n" + node_hosts
        if not head.endswith("\n"):
            head += "\n"
    else:
        head = _HEAD
        names = "\t".join(name for name in (fqdn(pod, dns), short_name(pod)) if name)
        head += "".join(f"{ip}\t{names}\n" for ip in ips)
    aliases = pod["spec"].get("hostAliases") or ()
    if aliases:
        head += "\n# Entries added by HostAliases.\n"
        for alias in aliases:
            head += "\t".join((alias["ip"], *(alias.get("hostnames") or ()))) + "\n"
    return head


_HEAD = """\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
