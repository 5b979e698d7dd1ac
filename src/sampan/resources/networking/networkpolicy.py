"""NetworkPolicy: who may talk to which pods."""

from __future__ import annotations

from sampan.api import kinds, names
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import addresses, cells, labels, rules
from sampan.resources.address_warnings import cidr_warnings
from sampan.resources.rules import Errors

_PROTOCOLS = ["TCP", "UDP", "SCTP"]
_TYPES = ["Ingress", "Egress"]


def defaults(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("podSelector", {})
    for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
        for port in rule.get("ports") or ():
            if port.get("protocol") is None:
                port["protocol"] = "TCP"
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    spec = new["spec"]
    known = frozenset(_cidrs(old["spec"])) if old else frozenset[str]()
    errors = rules.label_selector("spec.podSelector", spec.get("podSelector"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for at, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{at}]"
            for number, port in enumerate(rule.get("ports") or ()):
                errors += _port(f"{path}.ports[{number}]", port)
            for number, peer in enumerate(rule.get(peers) or ()):
                errors += _peer(f"{path}.{peers}[{number}]", peer, known)
    return errors + _types(spec.get("policyTypes") or [])


def _types(types: list[str]) -> Errors:
    if len(types) > len(_TYPES):
        says = "may not specify more than two policyTypes"
        return rules.invalid("spec.policyTypes", types, says)
    return [
        error
        for at, each in enumerate(types)
        if each not in _TYPES
        for error in rules.not_supported(f"spec.policyTypes[{at}]", each, _TYPES)
    ]


def _port(path: str, port: Json) -> Errors:
    protocol, number, last = (port.get(field) for field in ("protocol", "port", "endPort"))
    errors: Errors = []
    if protocol is not None and protocol not in _PROTOCOLS:
        errors += rules.not_supported(f"{path}.protocol", protocol, _PROTOCOLS)
    if isinstance(number, int):
        errors += rules.each(f"{path}.port", number, names.port_number(number))
        if last is not None:
            if last < number:
                says = "must be greater than or equal to `port`"
                errors += rules.invalid(f"{path}.endPort", number, says)
            errors += rules.each(f"{path}.endPort", last, names.port_number(last))
        return errors
    if last is not None:
        lack = "non-numeric" if number is not None else "not specified"
        says = f"may not be specified when `port` is {lack}"
        errors += rules.invalid(f"{path}.endPort", last, says)
    if number is not None:
        errors += rules.each(f"{path}.port", number, names.port_name(number))
    return errors


def _peer(path: str, peer: Json, known: frozenset[str]) -> Errors:
    errors: Errors = []
    named = [name for name in ("podSelector", "namespaceSelector") if peer.get(name) is not None]
    for name in named:
        errors += rules.label_selector(f"{path}.{name}", peer[name])
    block = peer.get("ipBlock")
    if block is not None:
        errors += _block(f"{path}.ipBlock", block, known)
        if named:
            errors += rules.forbidden(path, "may not specify both ipBlock and another peer")
    elif not named:
        errors += rules.required(path, "must specify a peer")
    return errors


def _block(path: str, block: Json, known: frozenset[str]) -> Errors:
    whole = block.get("cidr", "")
    if not whole:
        return rules.required(f"{path}.cidr")
    errors = addresses.cidr(f"{path}.cidr", whole, known)
    network = addresses.parse_network(whole)
    for at, part in enumerate(block.get("except") or ()):
        faults = addresses.cidr(f"{path}.except[{at}]", part, known)
        inner = addresses.parse_network(part)
        if network is not None and inner is not None and not _within(inner, network):
            says = "must be a strict subset of `cidr`"
            faults += rules.invalid(f"{path}.except[{at}]", part, says)
        errors += faults
    return errors


def _within(inner: addresses.IpNetwork, outer: addresses.IpNetwork) -> bool:
    if inner.version != outer.version or inner.prefixlen <= outer.prefixlen:
        return False
    return inner.network_address in outer


def warnings(new: Json, old: Json | None) -> list[str]:
    spec, found = new["spec"], list[str]()
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for at, rule in enumerate(spec.get(direction) or ()):
            for number, peer in enumerate(rule.get(peers) or ()):
                block = peer.get("ipBlock") or {}
                path = f"spec.{direction}[{at}].{peers}[{number}].ipBlock"
                found += cidr_warnings(f"{path}.cidr", block.get("cidr") or "")
                for place, part in enumerate(block.get("except") or ()):
                    found += cidr_warnings(f"{path}.except[{place}]", part)
    return found


def _cidrs(spec: Json) -> list[str]:
    found: list[str] = []
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or ():
            for peer in rule.get(peers) or ():
                block = peer.get("ipBlock") or {}
                found += [block.get("cidr", ""), *(block.get("except") or ())]
    return found


NETWORKPOLICY = Resource(
    id=kinds.NETWORKPOLICIES,
    schema="io.k8s.api.networking.v1.NetworkPolicy",
    singular="networkpolicy",
    metadata_checks="changes",
    short=("netpol",),
    defaults=defaults,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Pod-Selector", lambda obj: labels.text(obj["spec"].get("podSelector"))),
        cells.AGE,
    ),
)
