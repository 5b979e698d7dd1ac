"""The rules of a load balancer's addresses, in Services and Ingresses alike."""

from __future__ import annotations

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources import addresses
from sampan.resources.rules import Errors, each, forbidden, invalid, not_supported, required

IP_MODES = ("Proxy", "VIP")


def validate_status(svc: Json) -> Errors:
    ingresses = ((svc.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    path = "status.loadBalancer.ingress"
    if ingresses and svc["spec"].get("type") != "LoadBalancer":
        return forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
    errors: Errors = []
    for at, ingress in enumerate(ingresses):
        errors += _ingress(f"{path}[{at}]", ingress)
    return errors


def _ingress(path: str, ingress: Json) -> Errors:
    ip, mode = ingress.get("ip") or "", ingress.get("ipMode")
    errors: Errors = addresses.ip(f"{path}.ip", ip) if ip else []
    if mode is None:
        if ip:
            errors += required(f"{path}.ipMode", "must be specified when `ip` is set")
    elif not ip:
        errors += forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set")
    elif mode not in IP_MODES:
        errors += not_supported(f"{path}.ipMode", mode, IP_MODES)
    if name := ingress.get("hostname"):
        here = f"{path}.hostname"
        errors += each(here, name, names.dns1123_subdomain(name))
        if addresses.parse_ip(name) is not None:
            errors += invalid(here, name, "must be a DNS name, not an IP address")
    return errors
