"""Environment variables of a container: pure, from the pod and the objects it refers to.

Later ones win: envFrom, then env (each may use what stands before it as `$(NAME)`), and the
variables of Services wherever the name is still free.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sampan.api.meta import Json
from sampan.kubelet.fieldpaths import PodFacts, field_value, resource_value

Lookup = Callable[[str, str], Json | None]
"""(kind, name) -> the ConfigMap or Secret of the pod's namespace."""


class BadReference(Exception):
    """The container refers to what is not there: CreateContainerConfigError."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything variables come from, besides the container itself."""

    pod: Json
    facts: PodFacts
    lookup: Lookup
    services: Mapping[str, str]


def environment(container: Json, sources: Sources) -> dict[str, str]:
    """Name to value. Raises BadReference."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        found.update(_from_object(source, sources))
    for entry in container.get("env") or ():
        value = entry.get("value") or ""
        if value:
            value = expand(value, found, sources.services)
        elif entry.get("valueFrom"):
            read = _from_reference(entry["valueFrom"], container, sources)
            if read is None:
                continue  # optional and absent
            value = read
        found[entry["name"]] = value
    return {**{k: v for k, v in sources.services.items() if k not in found}, **found}


def expand(text: str, *scopes: Mapping[str, str]) -> str:
    """`$(NAME)` by its value, `$$` by `$`; what is unknown stays as it is written."""
    out, rest = "", text
    while True:
        before, dollar, rest = rest.partition("$")
        out += before
        if not dollar:
            return out
        if rest.startswith("$"):
            out, rest = out + "$", rest[1:]
        elif rest.startswith("(") and ")" in rest:
            name, _, rest = rest[1:].partition(")")
            values = [scope[name] for scope in scopes if name in scope]
            out += values[0] if values else f"$({name})"
        else:
            out += "$"


def service_variables(services: Iterable[Json]) -> dict[str, str]:
    """`{SVC}_SERVICE_HOST` and the docker-link set of each Service that has a cluster IP."""
    found: dict[str, str] = {}
    for service in services:
        ip = service["spec"].get("clusterIP") or ""
        ports = service["spec"].get("ports") or []
        if ip in ("", "None") or not ports:
            continue
        name = _variable(service["metadata"]["name"])
        found[f"{name}_SERVICE_HOST"] = ip
        found[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        host = f"[{ip}]" if ":" in ip else ip
        for index, port in enumerate(ports):
            if port.get("name"):
                found[f"{name}_SERVICE_PORT_{_variable(port['name'])}"] = str(port["port"])
            protocol = port.get("protocol") or "TCP"
            url = f"{protocol.lower()}://{host}:{port['port']}"
            if index == 0:
                found[f"{name}_PORT"] = url
            prefix = f"{name}_PORT_{port['port']}_{protocol}"
            found[prefix] = url
            found[f"{prefix}_PROTO"] = protocol.lower()
            found[f"{prefix}_PORT"] = str(port["port"])
            found[f"{prefix}_ADDR"] = ip
    return found


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")


def data_of(obj: Json) -> dict[str, bytes]:
    """All entries of a ConfigMap or Secret as bytes."""
    if obj.get("kind") == "Secret":
        return {key: base64.b64decode(text) for key, text in (obj.get("data") or {}).items()}
    plain = {key: text.encode() for key, text in (obj.get("data") or {}).items()}
    binary = {key: base64.b64decode(text) for key, text in (obj.get("binaryData") or {}).items()}
    return {**plain, **binary}


def _from_object(source: Json, sources: Sources) -> dict[str, str]:
    kind = "ConfigMap" if "configMapRef" in source else "Secret"
    reference = source.get("configMapRef") or source.get("secretRef") or {}
    obj = sources.lookup(kind, reference.get("name", ""))
    if obj is None:
        if reference.get("optional"):
            return {}
        raise BadReference(f'{kind.lower()} "{reference.get("name", "")}" not found')
    prefix = source.get("prefix") or ""
    return {prefix + key: value.decode(errors="replace") for key, value in data_of(obj).items()}


def _from_reference(reference: Json, container: Json, sources: Sources) -> str | None:
    if "fieldRef" in reference:
        return field_value(sources.pod, reference["fieldRef"]["fieldPath"], sources.facts)
    if "resourceFieldRef" in reference:
        return resource_value(
            sources.pod, reference["resourceFieldRef"], sources.facts, default=container
        )
    kind, field = "ConfigMap", "configMapKeyRef"
    if "secretKeyRef" in reference:
        kind, field = "Secret", "secretKeyRef"
    wanted = reference.get(field) or {}
    name, key, optional = wanted.get("name", ""), wanted.get("key", ""), wanted.get("optional")
    obj = sources.lookup(kind, name)
    if obj is None:
        if optional:
            return None
        raise BadReference(f'{kind.lower()} "{name}" not found')
    data = data_of(obj)
    if key not in data:
        if optional:
            return None
        namespace = sources.pod["metadata"]["namespace"]
        raise BadReference(f"couldn't find key {key} in {kind} {namespace}/{name}")
    return data[key].decode(errors="replace")
