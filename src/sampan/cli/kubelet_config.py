"""A KubeletConfiguration file as flags: what it says counts where no flag says otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sampan.api.meta import Json
from sampan.cli.flagset import KINDS, Given
from sampan.cli.kubelet_flags import TABLE

KIND, GROUP = "KubeletConfiguration", "kubelet.config.k8s.io"
FLAGS = {
    "address": "address",
    "authentication.anonymous.enabled": "anonymous-auth",
    "authentication.webhook.enabled": "authentication-token-webhook",
    "authentication.x509.clientCAFile": "client-ca-file",
    "authorization.mode": "authorization-mode",
    "cgroupRoot": "cgroup-root",
    "clusterDNS": "cluster-dns",
    "clusterDomain": "cluster-domain",
    "containerLogMaxFiles": "container-log-max-files",
    "containerLogMaxSize": "container-log-max-size",
    "fileCheckFrequency": "file-check-frequency",
    "healthzBindAddress": "healthz-bind-address",
    "healthzPort": "healthz-port",
    "kubeReserved": "kube-reserved",
    "maxPods": "max-pods",
    "nodeStatusUpdateFrequency": "node-status-update-frequency",
    "podPidsLimit": "pod-max-pids",
    "port": "port",
    "providerID": "provider-id",
    "registerNode": "register-node",
    "registerWithTaints": "register-with-taints",
    "resolvConf": "resolv-conf",
    "staticPodPath": "pod-manifest-path",
    "staticPodURL": "manifest-url",
    "syncFrequency": "sync-frequency",
    "systemReserved": "system-reserved",
    "tlsCertFile": "tls-cert-file",
    "tlsPrivateKeyFile": "tls-private-key-file",
}
"""Fields, and the flags that win over them."""
WHOLE = frozenset(("kubeReserved", "systemReserved"))
"""Fields that are maps and one flag."""


def take(given: Given, path: str) -> str:
    """Put a file's fields beside the flags; the fields without effect here, by comma. Raises
    ValueError.
    """
    if not path:
        return ""
    kinds = _kinds()
    in_vain = []
    for name, value in _leaves(_read(path), ""):
        flag = FLAGS.get(name)
        if flag is None:
            in_vain.append(name)
        elif flag not in given.named:
            try:
                given.values[flag] = _value(kinds[flag], value)
            except (TypeError, ValueError) as error:
                raise ValueError(f"--config {path}: {name}: {value!r}: {error}") from error
    return ", ".join(in_vain)


def in_force(given: Given) -> Json:
    """The flags as a KubeletConfiguration, for /configz."""
    whole: Json = {"kind": KIND, "apiVersion": f"{GROUP}/v1beta1"}
    for name, flag in FLAGS.items():
        *parents, last = name.split(".")
        place = whole
        for parent in parents:
            place = place.setdefault(parent, {})
        value = given[flag]
        if isinstance(value, float):
            value = f"{value:g}s"
        place[last] = list(value) if isinstance(value, tuple) else value
    return whole


def _kinds() -> dict[str, str]:
    rows = (line.split("|") for line in TABLE.splitlines() if "|" in line)
    return {row[0].strip(): row[1].strip() for row in rows}


def _read(path: str) -> Json:
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            given = yaml.safe_load(file)
    except OSError as error:
        raise ValueError(f"--config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path}: {' '.join(str(error).split())}") from error
    is_ours = isinstance(given, dict) and given.get("kind") == KIND
    if not is_ours or str(given.get("apiVersion", GROUP)).partition("/")[0] != GROUP:
        raise ValueError(f"--config {path}: no {KIND} of {GROUP}")
    return {name: value for name, value in given.items() if name not in ("kind", "apiVersion")}


def _leaves(tree: Json, path: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if value in (None, {}, []):
            continue
        if isinstance(value, dict) and path + name not in WHOLE:
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


def _value(kind: str, value: Any) -> Any:
    """The flag's own value; a list or map of the file is one already."""
    if isinstance(value, dict):
        return {str(key): str(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_taint(item) if isinstance(item, dict) else str(item) for item in value)
    return KINDS[kind](str(value).lower() if isinstance(value, bool) else str(value))


def _taint(taint: Json) -> str:
    value = taint.get("value")
    return (
        f"{taint['key']}={value}:{taint['effect']}"
        if value
        else f"{taint['key']}:{taint['effect']}"
    )
