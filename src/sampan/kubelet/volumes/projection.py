"""Files of configMap, secret, downwardAPI and projected volumes: pure, from objects to bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sampan.api.meta import Json
from sampan.kubelet.env import Lookup, data_of
from sampan.kubelet.fieldpaths import PodFacts, field_value, resource_value
from sampan.kubelet.objects import TokenRequest, VolumeFailure

DEFAULT_MODE = 0o644
DEFAULT_TOKEN_S = 3600
PROJECTED = ("configMap", "secret", "downwardAPI", "projected")
"""The kinds of volumes whose files are written here."""


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class Material:
    """What files are made of."""

    pod: Json
    lookup: Lookup
    token: Callable[[TokenRequest], str]
    facts: PodFacts = field(default_factory=PodFacts)


def is_projected(volume: Json) -> bool:
    return any(kind in volume for kind in PROJECTED)


def references(volume: Json) -> list[tuple[str, str]]:
    """(kind, name) of every ConfigMap and Secret that the volume reads."""
    sources = (volume.get("projected") or {}).get("sources") or [volume]
    found = []
    for source in sources:
        if "configMap" in source:
            found.append(("ConfigMap", source["configMap"].get("name") or ""))
        if "secret" in source:
            secret = source["secret"]
            found.append(("Secret", secret.get("secretName") or secret.get("name") or ""))
    return found


def tokens(volume: Json) -> list[TokenRequest]:
    """Every token that the volume wants."""
    sources = (volume.get("projected") or {}).get("sources") or ()
    return [
        _token(source["serviceAccountToken"])
        for source in sources
        if source.get("serviceAccountToken")
    ]


def files(volume: Json, material: Material) -> dict[str, File]:
    """Path inside the volume to content. Raises VolumeFailure."""
    if "projected" in volume:
        mode = volume["projected"].get("defaultMode")
        mode = DEFAULT_MODE if mode is None else mode
        found: dict[str, File] = {}
        for source in volume["projected"].get("sources") or ():
            found.update(_one(source, mode, material))
        return found
    kind = next(kind for kind in PROJECTED if kind in volume)
    mode = volume[kind].get("defaultMode")
    return _one(volume, DEFAULT_MODE if mode is None else mode, material)


def _one(source: Json, mode: int, material: Material) -> dict[str, File]:
    if source.get("configMap") is not None:
        return _object("ConfigMap", source["configMap"], mode, material)
    if source.get("secret") is not None:
        return _object("Secret", source["secret"], mode, material)
    if source.get("downwardAPI") is not None:
        return _downward(source["downwardAPI"], mode, material)
    if source.get("serviceAccountToken") is not None:
        wanted = source["serviceAccountToken"]
        text = material.token(_token(wanted))
        return {wanted["path"]: File(text.encode(), mode)}
    raise VolumeFailure(f"a source of this kind is not supported: {', '.join(source)}")


def _token(wanted: Json) -> TokenRequest:
    return TokenRequest(
        wanted.get("audience") or "", int(wanted.get("expirationSeconds") or DEFAULT_TOKEN_S)
    )


def _object(kind: str, wanted: Json, mode: int, material: Material) -> dict[str, File]:
    name = wanted.get("secretName") or wanted.get("name") or ""
    obj = material.lookup(kind, name)
    if obj is None:
        if wanted.get("optional"):
            return {}
        raise VolumeFailure(f'{kind.lower()} "{name}" not found')
    data = data_of(obj)
    items = wanted.get("items")
    if not items:
        return {key: File(value, mode) for key, value in data.items()}
    return _chosen(items, data, mode, bool(wanted.get("optional")))


def _chosen(
    items: list[Json], data: Mapping[str, bytes], mode: int, optional: bool
) -> dict[str, File]:
    found = {}
    for item in items:
        if item["key"] in data:
            own = item.get("mode")
            found[item["path"]] = File(data[item["key"]], mode if own is None else own)
        elif not optional:
            raise VolumeFailure(f"references non-existent config key: {item['key']}")
    return found


def _downward(wanted: Json, mode: int, material: Material) -> dict[str, File]:
    found = {}
    for item in wanted.get("items") or ():
        if item.get("fieldRef"):
            text = field_value(material.pod, item["fieldRef"]["fieldPath"], material.facts)
        else:
            text = resource_value(material.pod, item["resourceFieldRef"], material.facts)
        own = item.get("mode")
        found[item["path"]] = File(text.encode(), mode if own is None else own)
    return found
