"""The Secret: like a ConfigMap, but with types that say what it must hold."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from sampan.api import kinds, names
from sampan.api.body import read_json
from sampan.api.decode import json_name
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.resource import Resource
from sampan.resources import cells
from sampan.resources.core.configmap import SIZE_LIMIT, decoded_size, frozen
from sampan.resources.core.key_pairs import key_pair_fault
from sampan.resources.rules import METADATA, Errors, each, immutable, invalid, required, too_long

REDACTED = "<secret contents redacted>"
ACCOUNT = "kubernetes.io/service-account.name"
DOCKER: Mapping[str, str] = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}

KEYS: Mapping[str, tuple[str, ...]] = {"kubernetes.io/tls": ("tls.crt", "tls.key")}


def defaults(secret: Json) -> None:
    if not secret.get("type"):
        secret["type"] = "Opaque"
    plain = secret.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        secret["data"] = {**(secret.get("data") or {}), **encoded}


def validate(new: Json, old: Json | None, subresource: str) -> Errors:
    errors: Errors = []
    if old is not None:
        errors += immutable("type", new.get("type"), old.get("type"))
        errors += [*frozen(new, old, ("data",)), METADATA]
    data = new.get("data") or {}
    size = 0
    for key, value in data.items():
        errors += each(f"data[{key}]", key, names.config_key(key))
        size += decoded_size(value)
    if size > SIZE_LIMIT:
        errors += too_long("data", SIZE_LIMIT)
    return errors + _typed(new, data)


def warnings(new: Json, old: Json | None) -> list[str]:
    """A TLS secret that no server could use is stored all the same."""
    data = new.get("data") or {}
    if new.get("type") != "kubernetes.io/tls":
        return []
    certificate, key = (base64.b64decode(data.get(f"tls.{part}") or "") for part in ("crt", "key"))
    fault = key_pair_fault(certificate, key)
    return [fault] if fault else []


def _typed(secret: Json, data: Mapping[str, str]) -> Errors:
    kind = str(secret.get("type") or "")
    if kind in DOCKER:
        return _json(DOCKER[kind], data)
    if kind in KEYS:
        return _must_have(data, *KEYS[kind])
    if kind == "kubernetes.io/service-account-token":
        named = (secret["metadata"].get("annotations") or {}).get(ACCOUNT)
        return [] if named else required(f"metadata.annotations[{ACCOUNT}]")
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        return _must_have(data, "username", "password")
    if kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        return required("data[ssh-privatekey]")
    return []


def _must_have(data: Mapping[str, str], *keys: str) -> Errors:
    return [error for key in keys if key not in data for error in required(f"data[{key}]")]


def _json(key: str, data: Mapping[str, str]) -> Errors:
    if key not in data:
        return required(f"data[{key}]")
    try:
        value = read_json(base64.b64decode(data[key]), duplicates=False).value
    except DecodeError as error:
        return invalid(f"data[{key}]", REDACTED, str(error))
    if value is None or isinstance(value, dict):
        return []
    says = (
        f"json: cannot unmarshal {json_name(value)} into Go value of type map[string]interface {{}}"
    )
    return invalid(f"data[{key}]", REDACTED, says)


SECRET = Resource(
    id=kinds.SECRETS,
    schema="io.k8s.api.core.v1.Secret",
    singular="secret",
    defaults=defaults,
    validate=validate,
    warnings=warnings,
    columns=(
        cells.NAME,
        cells.column("Type", cells.field("type")),
        cells.column("Data", lambda secret: len(secret.get("data") or ())),
        cells.AGE,
    ),
    fields={"type": lambda secret: str(secret.get("type") or "")},
    generation=False,
)
