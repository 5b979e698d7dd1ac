"""What the server fills into a pod and into a pod template.

A template gets less than a pod: limits become requests, and service links are on, only in pods.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sampan.api.meta import Json
from sampan.resources.core.pod import levels

GRACE_PERIOD_S = 30
TOKEN_LIFE_S = 3600
FILE_MODE = 0o644
LONGEST_REPOSITORY = 255
VOLUME_MODES = ("secret", "configMap", "downwardAPI", "projected")
DISABLED_PROJECTIONS = ("clusterTrustBundle", "podCertificate")
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def default_pod(pod: Json) -> None:
    spec = pod.setdefault("spec", {})
    default_spec(spec)
    levels.default_requests(spec)
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        _take_host_ports(spec)
    status = pod.setdefault("status", {})
    _default_addresses(status)


def default_template(template: Json) -> None:
    """A pod template, as workloads hold it."""
    template.setdefault("metadata", {})
    default_spec(template.setdefault("spec", {}))


def default_spec(spec: Json) -> None:
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = GRACE_PERIOD_S
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    _default_account(spec)
    _drop_disabled(spec)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for field in CONTAINER_LISTS:
        for container in spec.get(field) or ():
            _default_container(container)


def pull_policy(image: str) -> str:
    """Always for `:latest`, said or meant; else IfNotPresent."""
    return "Always" if _tag(image) == "latest" else "IfNotPresent"


def _drop_disabled(spec: Json) -> None:
    """Fields behind feature gates that are off in this version are not kept."""
    spec.pop("schedulingGroup", None)
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            for field in DISABLED_PROJECTIONS:
                source.pop(field, None)
    for field in CONTAINER_LISTS:
        for container in spec.get(field) or ():
            lifecycle = container.get("lifecycle") or {}
            if lifecycle.pop("stopSignal", None) is not None and not lifecycle:
                del container["lifecycle"]


def _default_account(spec: Json) -> None:
    """`serviceAccount` is the old name of `serviceAccountName`; both are always shown."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = spec["serviceAccount"] = name


def _default_container(container: Json) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image") or "")
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    if container.get("resources") is None:
        container["resources"] = {}
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        _default_field_ref((variable.get("valueFrom") or {}).get("fieldRef"))
    _default_actions(container)


def _default_actions(container: Json) -> None:
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(field)
        if probe is not None:
            _default_probe(probe)
    lifecycle = container.get("lifecycle") or {}
    for field in ("postStart", "preStop"):
        _default_http((lifecycle.get(field) or {}).get("httpGet"))


def _default_probe(probe: Json) -> None:
    for field, value in _PROBE:
        if not probe.get(field):
            probe[field] = value
    _default_http(probe.get("httpGet"))
    grpc = probe.get("grpc")
    if grpc is not None and grpc.get("service") is None:
        grpc["service"] = ""


_PROBE = (
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
)


def _default_http(action: Json | None) -> None:
    if action is None:
        return
    if not action.get("path"):
        action["path"] = "/"
    if not action.get("scheme"):
        action["scheme"] = "HTTP"


def _default_volume(volume: Json) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
        return
    for field in VOLUME_MODES:
        source = volume.get(field)
        if source is not None and source.get("defaultMode") is None:
            source["defaultMode"] = FILE_MODE
    _default_items(volume.get("downwardAPI") or {})
    for source in (volume.get("projected") or {}).get("sources") or ():
        _default_projection(source)
    if (host := volume.get("hostPath")) is not None and host.get("type") is None:
        host["type"] = ""
    if (image := volume.get("image")) is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = pull_policy(image.get("reference") or "")
    claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if claim is not None:
        spec = claim.setdefault("spec", {})
        if spec.get("volumeMode") is None:
            spec["volumeMode"] = "Filesystem"


def _default_projection(source: Json) -> None:
    token = source.get("serviceAccountToken")
    if token is not None and token.get("expirationSeconds") is None:
        token["expirationSeconds"] = TOKEN_LIFE_S
    _default_items(source.get("downwardAPI") or {})


def _default_items(source: Json) -> None:
    for item in source.get("items") or ():
        _default_field_ref(item.get("fieldRef"))


def _default_field_ref(reference: Json | None) -> None:
    if reference is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def _take_host_ports(spec: Json) -> None:
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            for port in container.get("ports") or ():
                if not port.get("hostPort") and port.get("containerPort"):
                    port["hostPort"] = port["containerPort"]


def _default_addresses(status: Json) -> None:
    """podIP is the old name of podIPs[0], and what it says counts."""
    address, addresses = status.get("podIP"), status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses:
        status["podIP"] = addresses[0].get("ip", "")


@lru_cache(maxsize=1024)
def _tag(image: str) -> str:
    """The tag, `latest` where nothing says which, empty for a digest or what is no image name."""
    name, at, _ = image.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        head, tag = name, ""
    if not _is_repository(head) or len(head) > LONGEST_REPOSITORY:
        return ""
    if tag:
        return tag
    return "" if at else "latest"


def _is_repository(name: str) -> bool:
    domain, slash, path = name.partition("/")
    if not slash or not (
        set(domain) & set(".:") or domain == "localhost" or domain.lower() != domain
    ):
        path = name
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789._-/")
    parts: list[Any] = path.split("/")
    return set(path) <= allowed and all(
        part and part[0] not in "._-" and part[-1] not in "._-" for part in parts
    )
