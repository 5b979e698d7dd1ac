"""Annotations of a pod that once were, or still are, settings."""

from __future__ import annotations

from collections.abc import Mapping

from sampan.api.meta import Json
from sampan.resources.core.pod.security import seccomp_annotation
from sampan.resources.core.pod.windows import containers_with_paths
from sampan.resources.rules import Errors, forbidden, invalid

MIRROR = "kubernetes.io/config.mirror"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"


def validate_annotations(path: str, annotations: Mapping[str, str], spec: Json) -> Errors:
    errors: Errors = []
    if MIRROR in annotations and not spec.get("nodeName"):
        says = "must set spec.nodeName if mirror pod annotation is set"
        errors += invalid(f"{path}[{MIRROR}]", annotations[MIRROR], says)
    if DELETION_COST in annotations and not _is_int32(annotations[DELETION_COST]):
        here = f"{path}[{DELETION_COST}]"
        errors += invalid(here, annotations[DELETION_COST], "must be a 32bit integer")
    if SECCOMP_POD in annotations:
        errors += seccomp_annotation(f"{path}.{SECCOMP_POD}", annotations[SECCOMP_POD])
    for key, value in annotations.items():
        if key.startswith(SECCOMP_CONTAINER):
            errors += seccomp_annotation(f"{path}.{key}", value)
        elif key.startswith(APP_ARMOR):
            errors += _app_armor(f"{path}[{key}]", key, value, spec)
    return errors


def validate_annotation_updates(
    path: str, new: Mapping[str, str], old: Mapping[str, str]
) -> Errors:
    errors: Errors = []
    for key, value in old.items():
        if new.get(key) == value:
            continue
        if key.startswith(APP_ARMOR):
            says = "may not remove or update AppArmor annotations"
            errors += forbidden(f"{path}[{key}]", says)
        if key == MIRROR:
            says = "may not remove or update mirror pod annotation"
            errors += forbidden(f"{path}[{key}]", says)
    for key in new:
        if key in old:
            continue
        if key.startswith(APP_ARMOR):
            errors += forbidden(f"{path}[{key}]", "may not add AppArmor annotations")
        if key == MIRROR:
            errors += forbidden(f"{path}[{key}]", "may not add mirror pod annotation")
    return errors


def validate_profiles_match(path: str, annotations: Mapping[str, str], spec: Json) -> Errors:
    """Where both the annotation and the field name a profile they must agree."""
    errors: Errors = []
    rights = spec.get("securityContext") or {}
    if (profile := rights.get("seccompProfile")) and SECCOMP_POD in annotations:
        here = f"{path}.securityContext.seccompProfile"
        errors += _agree(here, annotations[SECCOMP_POD], profile, "seccomp")
    windows = (spec.get("os") or {}).get("name") == "windows"
    for where, container in containers_with_paths(path, spec):
        own, name = container.get("securityContext") or {}, container.get("name") or ""
        profile, value = own.get("seccompProfile"), annotations.get(SECCOMP_CONTAINER + name)
        if profile and value is not None:
            errors += _agree(f"{where}.securityContext.seccompProfile", value, profile, "seccomp")
        profile = own.get("appArmorProfile") or rights.get("appArmorProfile")
        value = annotations.get(APP_ARMOR + name)
        if profile and value is not None and not windows:
            errors += _agree(f"{where}.securityContext.appArmorProfile", value, profile, "apparmor")
    return errors


def move_profiles(annotations: Mapping[str, str], spec: Json) -> None:
    """AppArmor profiles that only the old annotation names get their field."""
    if (spec.get("os") or {}).get("name") == "windows":
        return
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    for _, container in containers_with_paths("", spec):
        value = annotations.get(APP_ARMOR + (container.get("name") or ""))
        own = (container.get("securityContext") or {}).get("appArmorProfile")
        if value is None or own is not None:
            continue
        profile = profile_of(value)
        if profile is not None and profile != of_pod:
            container.setdefault("securityContext", {})["appArmorProfile"] = profile


def profile_of(value: str) -> Json | None:
    """What an AppArmor annotation says, as the field says it."""
    if value == "unconfined":
        return {"type": "Unconfined"}
    if value == "runtime/default":
        return {"type": "RuntimeDefault"}
    local = value.removeprefix("localhost/")
    if local == value or not local.strip() or local != local.strip():
        return None
    return {"type": "Localhost", "localhostProfile": local}


def _agree(path: str, value: str, profile: Json, system: str) -> Errors:
    kind = profile.get("type")
    if kind == "Localhost" and value.startswith("localhost/"):
        if value.removeprefix("localhost/") == profile.get("localhostProfile"):
            return []
        says = f"{system} profile in annotation and field must match"
        return forbidden(f"{path}.localhostProfile", says)
    same: dict[str, tuple[str, ...]] = {
        "Unconfined": ("unconfined",),
        "RuntimeDefault": ("runtime/default", "docker/default"),
    }
    old_name = value == "docker/default" and system != "seccomp"
    if value in same.get(str(kind), ()) and not old_name:
        return []
    return forbidden(f"{path}.type", f"{system} type in annotation and field must match")


def _app_armor(path: str, key: str, value: str, spec: Json) -> Errors:
    errors: Errors = []
    name = key.removeprefix(APP_ARMOR)
    if all(container.get("name") != name for _, container in containers_with_paths("", spec)):
        errors += invalid(path, name, "container not found")
    if value not in ("", "runtime/default", "unconfined") and not value.startswith("localhost/"):
        errors += invalid(path, value, f'invalid AppArmor profile name: "{value}"')
    return errors


def _is_int32(text: str) -> bool:
    digits = text[1:] if text[:1] == "-" else text
    if not digits.isascii() or not digits.isdigit() or (len(digits) > 1 and digits[0] == "0"):
        return False
    return -(2**31) <= int(text) < 2**31
