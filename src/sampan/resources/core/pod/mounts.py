"""Where a container sees the pod's volumes: mounts and block devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources.file_paths import descending_path
from sampan.resources.rules import Errors, forbidden, invalid, not_supported, required


def validate_mounts(path: str, container: Json, volumes: Mapping[str, Json]) -> Errors:
    errors: Errors = []
    devices = {d.get("name"): d.get("devicePath") for d in container.get("volumeDevices") or ()}
    seen: set[str] = set()
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        here = f"{path}[{at}]"
        name, point = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors += required(f"{here}.name")
        if name not in volumes:
            errors.append(FieldError("NotFound", f"{here}.name", name))
        if not point:
            errors += required(f"{here}.mountPath")
        if point in seen:
            errors += invalid(f"{here}.mountPath", point, "must be unique")
        seen.add(point)
        if name in devices:
            errors += invalid(f"{here}.name", name, "must not already exist in volumeDevices")
        if point in devices.values():
            says = "must not already exist as a path in volumeDevices"
            errors += invalid(f"{here}.mountPath", point, says)
        if len(mount) > 2:
            errors += _details(path, at, mount, container)
    return errors


def validate_devices(
    path: str, devices: Sequence[Json], mounts: Sequence[Json], volumes: Mapping[str, Json]
) -> Errors:
    errors: Errors = []
    mounted = {mount.get("name"): mount.get("mountPath") for mount in mounts}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for at, device in enumerate(devices):
        here = f"{path}[{at}]"
        name, place = device.get("name") or "", device.get("devicePath") or ""
        errors += _device_name(f"{here}.name", name, seen_names, volumes)
        errors += _device_path(f"{here}.devicePath", place, seen_paths)
        if name in mounted:
            errors += invalid(f"{here}.name", name, "must not already exist in volumeMounts")
        if place in mounted.values():
            says = "must not already exist as a path in volumeMounts"
            errors += invalid(f"{here}.devicePath", place, says)
        if name:
            seen_names.add(name)
    return errors


def _details(path: str, at: int, mount: Json, container: Json) -> Errors:
    """Upstream leaves the index out of most of these paths."""
    errors: Errors = []
    sub, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
    if sub:
        errors += descending_path(f"{path}.subPath", sub)
    if expression:
        if sub:
            says = "subPathExpr and subPath are mutually exclusive"
            errors += invalid(f"{path}[{at}].subPathExpr", expression, says)
        errors += descending_path(f"{path}.subPathExpr", expression)
    if (propagation := mount.get("mountPropagation")) is not None:
        errors += _propagation(f"{path}.mountPropagation", propagation, container)
    return errors + _recursive(f"{path}.recursiveReadOnly", mount)


def _propagation(path: str, value: str, container: Json) -> Errors:
    allowed = ("Bidirectional", "HostToContainer", "None")
    if value not in allowed:
        return not_supported(path, value, allowed)
    privileged = (container.get("securityContext") or {}).get("privileged")
    if value == "Bidirectional" and not privileged:
        says = "Bidirectional mount propagation is available only to privileged containers"
        return forbidden(path, says)
    return []


def _recursive(path: str, mount: Json) -> Errors:
    value = mount.get("recursiveReadOnly")
    if value is None:
        return []
    allowed = ("Disabled", "IfPossible", "Enabled")
    if value not in allowed:
        return not_supported(path, value, sorted(allowed))
    if value == "Disabled":
        return []
    errors: Errors = []
    if not mount.get("readOnly"):
        errors += forbidden(path, "may only be specified when readOnly is true")
    if mount.get("mountPropagation", "None") != "None":
        says = "may only be specified when mountPropagation is None or not specified"
        errors += forbidden(path, says)
    return errors


def _device_name(path: str, name: str, seen: set[str], volumes: Mapping[str, Json]) -> Errors:
    errors: Errors = []
    volume = volumes.get(name)
    if not name:
        errors += required(path)
    if name in seen:
        errors += invalid(path, name, "must be unique")
    if volume is None:
        errors.append(FieldError("NotFound", path, name))
    elif "persistentVolumeClaim" not in volume and "ephemeral" not in volume:
        says = (
            "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        )
        errors += invalid(path, name, says)
    return errors


def _device_path(path: str, place: str, seen: set[str]) -> Errors:
    errors: Errors = []
    if not place:
        errors += required(path)
    if place in seen:
        errors += invalid(path, place, "must be unique")
    if ".." in place.split("/"):
        errors += invalid(path, place, "can not contain backsteps ('..')")
    else:
        seen.add(place)
    return errors
