"""Clusters of a given size, and the rule sets that upstream's modes would write for them.

The upstream shapes stand in where no upstream binary is at hand. The one of nftables is a
reconstruction from its documented layout: a verdict map of all services, one chain for each service
and one for each endpoint. The one of iptables is our own rules undivided, which are upstream's
chain by chain, with all of the common chains written at each change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sampan.api.meta import Json, Key
from sampan.linux.base import iptables_text
from sampan.linux.fake.iptables import FakeIptables
from sampan.proxy.backends.iptables.backend import IptablesBackend
from sampan.proxy.backends.iptables.layout import JUMPS, WHOLE
from sampan.proxy.model import Rules
from sampan.proxy.plan import plan, slice_of
from sampan.proxy.settings import Detector, FamilySettings, Settings
from sampan.services.answer import Place

PLACE = Place("n1", "")
NODE_IP = "192.168.77.1"
SETTINGS = Settings(
    "n1",
    (
        FamilySettings(
            4,
            Detector(("10.128.0.0/9",)),
            node_port_ips=(NODE_IP,),
            service_cidrs=("10.96.0.0/12",),
            node_ips=(NODE_IP,),
        ),
    ),
)


def vip(number: int) -> str:
    return f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def endpoint(number: int, index: int, shift: int) -> str:
    place = number * 16 + index + shift * 7
    return f"10.{128 + (place >> 16 & 63)}.{place >> 8 & 255}.{place & 255}"


def objects(number: int, endpoints: int, shift: int = 0) -> tuple[Json, Json]:
    """Service `svc-N` and its slice; another `shift` gives it other endpoints."""
    name = f"svc-{number}"
    service = {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": vip(number),
            "clusterIPs": [vip(number)],
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
        },
    }
    slice_ = {
        "metadata": {
            "name": f"{name}-x",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [endpoint(number, index, shift)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"n{(number + index) % 50}",
            }
            for index in range(endpoints)
        ],
        "ports": [{"name": "", "protocol": "TCP", "port": 8080}],
    }
    return service, slice_


def rules(number: int, endpoints: int, shift: int = 0) -> Rules:
    """The plan of one Service."""
    service, slice_ = objects(number, endpoints, shift)
    view = slice_of(slice_)
    made = plan(service, (view,) if view else (), PLACE)
    assert made is not None
    return made


def upstream_shape(count: int, endpoints: int) -> str:
    """A script that loads the upstream shape into an empty kernel."""
    return "\n".join(_upstream(count, endpoints)) + "\n"


def _upstream(count: int, endpoints: int) -> Iterator[str]:
    yield "table ip kube-proxy {"
    yield " set cluster-ips { type ipv4_addr; }"
    yield " map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }"
    for number in range(count):
        for index in range(endpoints):
            ip = endpoint(number, index, 0)
            yield f" chain endpoint-{number}-{index} {{ ip saddr {ip} meta mark set mark or 0x4000"
            yield f"  meta l4proto tcp dnat ip to {ip}:8080"
            yield " }"
        ends = ", ".join(f"{index} : goto endpoint-{number}-{index}" for index in range(endpoints))
        yield f" chain service-{number} {{"
        match = f"ip daddr {vip(number)} tcp dport 80 ip saddr != 10.128.0.0/9"
        yield f"  {match} meta mark set mark or 0x4000"
        yield f"  numgen random mod {endpoints} vmap {{ {ends} }}"
        yield " }"
    yield " chain services { ip daddr . meta l4proto . th dport vmap @service-ips"
    yield " }"
    yield " chain nat-prerouting { type nat hook prerouting priority dstnat; jump services"
    yield " }"
    yield "}"
    items = (f"{vip(n)} . tcp . 80 : goto service-{n}" for n in range(count))
    yield f"add element ip kube-proxy service-ips {{ {', '.join(items)} }}"
    yield f"add element ip kube-proxy cluster-ips {{ {', '.join(vip(n) for n in range(count))} }}"


def upstream_change(number: int, shift: int) -> str:
    """One endpoint of one Service replaced, in the upstream shape."""
    ip = endpoint(number, 0, shift)
    chain = f"ip kube-proxy endpoint-{number}-0"
    return (
        f"flush chain {chain}\n"
        f"add rule {chain} ip saddr {ip} meta mark set mark or 0x4000\n"
        f"add rule {chain} meta l4proto tcp dnat ip to {ip}:8080\n"
    )


def upstream_iptables(count: int, endpoints: int) -> tuple[str, Callable[[int], str]]:
    """A script that loads upstream's iptables rules, and one for each turn that replaces all
    endpoints of a Service.
    """
    tool = IptablesBackend([FakeIptables(4)], SETTINGS)
    model = {one.key: one for one in (rules(number, endpoints) for number in range(count))}
    whole = tool.chains(model, 4, WHOLE)
    own = ("KUBE-SVC-", "KUBE-SEP-")
    common = [chain for chain in whole if not chain.name.startswith(own)]

    def change(turn: int) -> str:
        number = turn * 37 % count
        new = rules(number, endpoints, turn + 1)
        chains = tool.chains({new.key: new}, 4, WHOLE)
        mine = [chain for chain in chains if chain.name.startswith(own)]
        return iptables_text.script([*common, *mine], [], {})

    return iptables_text.script(whole, [], iptables_text.missing_jumps({}, JUMPS)), change


def iptables_script(model: dict[Key, Rules], *, linear: bool) -> str:
    """All rules of a model for iptables-restore; `linear` as upstream has them, one after the
    other, else divided as ours are.
    """
    tool = IptablesBackend([FakeIptables(4)], SETTINGS)
    chains = tool.chains(model, 4, WHOLE if linear else None)
    return iptables_text.script(chains, [], iptables_text.missing_jumps({}, JUMPS))
