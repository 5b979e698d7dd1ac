"""A KubeProxyConfiguration in a file: read strictly, and completed as upstream completes it.

Every unknown field and every field that stands twice is a mistake that names its line or path: a
word that is overlooked is a rule that nobody wrote.
"""

from __future__ import annotations

import ipaddress

from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.yaml11 import load
from sampan.proxy.config import GROUP, KIND, BadConfig

VERSIONS = (f"{GROUP}/v1alpha1",)
PORTS = {"healthzBindAddress": 10256, "metricsBindAddress": 10249}


def read(data: bytes) -> Json:
    """The fields that a file gives, ready to be laid over the defaults. Raises BadConfig."""
    try:
        given, twice = load(data)
    except DecodeError as error:
        raise BadConfig(str(error)) from error
    if twice:
        raise BadConfig("; ".join(twice))
    if not isinstance(given, dict) or given.get("kind") != KIND:
        raise BadConfig(f"no {KIND}: apiVersion {VERSIONS[0]} and kind {KIND} must be said")
    if given.get("apiVersion") not in VERSIONS:
        raise BadConfig(f"apiVersion: {given.get('apiVersion')!r} is not {VERSIONS[0]}")
    return {**given, **_pages(given)}


def _pages(given: Json) -> Json:
    """Where the two HTTP pages are: beside the bind address's family if nothing is said, and with
    their usual port if none is.
    """
    v6 = ":" in str(given.get("bindAddress") or "")
    usual = {
        "healthzBindAddress": "[::]" if v6 else "0.0.0.0",
        "metricsBindAddress": "[::1]" if v6 else "127.0.0.1",
    }
    return {
        field: with_port(str(given.get(field) or usual[field]), port)
        for field, port in PORTS.items()
    }


def with_port(text: str, port: int) -> str:
    """An address with its port; one that has one already stays as it is."""
    host = text.strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return text
    return f"[{host}]:{port}" if address.version == 6 else f"{host}:{port}"
