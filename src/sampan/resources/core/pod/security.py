"""Security contexts of a pod and of its containers: users, seccomp, AppArmor, sysctls, Windows."""

from __future__ import annotations

import re
from functools import lru_cache

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.core.pod.windows import containers_with_paths, validate_options
from sampan.resources.file_paths import descending_path
from sampan.resources.rules import (
    Errors,
    duplicate,
    each,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
)

MAX_ID = 2**31 - 1
PATH_LIMIT = 4095
PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
SYSCTL_LIMIT = 253
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = f"({_SEGMENT}[\\./])*{_SEGMENT}"
IPC_SYSCTLS = ("kernel.sem", "kernel.shm", "kernel.msg", "fs.mqueue.")


def validate_pod(path: str, rights: Json, spec: Json) -> Errors:
    """`spec.securityContext`, and what is about the host beside it."""
    errors: Errors = []
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        errors += _id(f"{path}.{field}", rights.get(field))
    for at, group in enumerate(rights.get("supplementalGroups") or ()):
        errors += _id(f"{path}.supplementalGroups[{at}]", group)
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        says = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors += invalid(f"{path}.shareProcessNamespace", True, says)
    errors += _sysctls(f"{path}.sysctls", rights, spec)
    errors += _optional(path, rights, "fsGroupChangePolicy", ("Always", "OnRootMismatch"))
    errors += seccomp(f"{path}.seccompProfile", rights.get("seccompProfile"))
    errors += validate_options(f"{path}.windowsOptions", rights.get("windowsOptions"))
    errors += app_armor(f"{path}.appArmorProfile", rights.get("appArmorProfile"))
    errors += _optional(path, rights, "supplementalGroupsPolicy", ("Merge", "Strict"))
    return errors + _optional(path, rights, "seLinuxChangePolicy", ("Recursive",))


def validate_container(path: str, rights: Json, *, host_users: bool) -> Errors:
    errors: Errors = []
    for field in ("runAsUser", "runAsGroup"):
        errors += _id(f"{path}.{field}", rights.get(field))
    if (mount := rights.get("procMount")) is not None:
        if mount not in ("Default", "Unmasked"):
            errors += not_supported(f"{path}.procMount", mount, ("Default", "Unmasked"))
        if host_users and mount == "Unmasked":
            says = "`hostUsers` must be false to use `Unmasked`"
            errors += invalid(f"{path}.procMount", mount, says)
    errors += seccomp(f"{path}.seccompProfile", rights.get("seccompProfile"))
    if rights.get("allowPrivilegeEscalation") is False:
        errors += _escalation(path, rights)
    errors += validate_options(f"{path}.windowsOptions", rights.get("windowsOptions"))
    return errors + app_armor(f"{path}.appArmorProfile", rights.get("appArmorProfile"))


def seccomp(path: str, profile: Json | None) -> Errors:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    errors: Errors = []
    if not kind:
        errors += required(f"{path}.type", "type is required when seccompProfile is set")
    elif kind not in PROFILES:
        errors += not_supported(f"{path}.type", kind, PROFILES)
    here = f"{path}.localhostProfile"
    if kind != "Localhost":
        if local is not None:
            says = "can only be set when seccomp type is Localhost"
            errors += invalid(here, profile, says)
        return errors
    if local is None:
        return errors + required(here, "must be set when seccomp type is Localhost")
    return errors + descending_path(here, local)


def app_armor(path: str, profile: Json | None) -> Errors:
    if profile is None:
        return []
    kind, local = profile.get("type") or "", profile.get("localhostProfile")
    here = f"{path}.localhostProfile"
    if not kind:
        return required(f"{path}.type", "type is required when appArmorProfile is set")
    if kind not in PROFILES:
        return not_supported(f"{path}.type", kind, PROFILES)
    if kind == "Localhost":
        return _local_profile(here, local)
    says = "can only be set when AppArmor type is Localhost"
    return [] if local is None else invalid(here, local, says)


def _local_profile(here: str, local: str | None) -> Errors:
    if not local:
        return required(here, "must be set when AppArmor type is Localhost")
    errors: Errors = []
    if local != local.strip():
        errors += invalid(here, local, "must not be padded with whitespace")
    if len(local) > PATH_LIMIT:
        errors += too_long(here, PATH_LIMIT)
    return errors


def seccomp_annotation(path: str, value: str) -> Errors:
    """The old way to name a profile."""
    if value in ("runtime/default", "docker/default", "unconfined"):
        return []
    if value.startswith("localhost/"):
        return descending_path(path, value.removeprefix("localhost/"))
    return invalid(path, value, "must be a valid seccomp profile")


def _id(path: str, value: int | None) -> Errors:
    if value is None or 0 <= value <= MAX_ID:
        return []
    return each(path, value, names.in_range(value, 0, MAX_ID))


def _optional(path: str, rights: Json, field: str, allowed: tuple[str, ...]) -> Errors:
    value = rights.get(field)
    if value is None or value in allowed:
        return []
    return not_supported(f"{path}.{field}", value, allowed)


def _escalation(path: str, rights: Json) -> Errors:
    errors: Errors = []
    if rights.get("privileged"):
        says = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        errors += invalid(path, rights, says)
    for capability in (rights.get("capabilities") or {}).get("add") or ():
        if capability == "CAP_SYS_ADMIN":
            says = (
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                "CAP_SYS_ADMIN"
            )
            errors += invalid(path, rights, says)
    return errors


def _sysctls(path: str, rights: Json, spec: Json) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for at, sysctl in enumerate(rights.get("sysctls") or ()):
        here, name = f"{path}[{at}].name", sysctl.get("name") or ""
        if not name:
            errors += required(here)
        elif len(name) > SYSCTL_LIMIT or not _sysctl_name().fullmatch(name):
            says = f"must have at most {SYSCTL_LIMIT} characters and match regex ^{_SYSCTL}$"
            errors += invalid(here, name, says)
        elif name in seen:
            errors += duplicate(here, name)
        seen.add(name)
        errors += _host_sysctl(here, name, spec)
    return errors


@lru_cache(maxsize=1)
def _sysctl_name() -> re.Pattern[str]:
    return re.compile(_SYSCTL)


def _host_sysctl(path: str, name: str, spec: Json) -> Errors:
    """A namespaced sysctl means nothing in a namespace that is the host's."""
    dotted = _dotted(name)
    if spec.get("hostNetwork") and dotted.startswith("net."):
        return invalid(path, name, "may not be specified when 'hostNetwork' is true")
    if spec.get("hostIPC") and dotted.startswith(IPC_SYSCTLS):
        return invalid(path, name, "may not be specified when 'hostIPC' is true")
    return []


def _dotted(name: str) -> str:
    """`net/ipv4/ip_forward` and `net.ipv4.ip_forward` are one; the first separator decides."""
    first = re.search(r"[./]", name)
    if first is None or first[0] == ".":
        return name
    return name.replace("/", ".")


def validate_host_users(path: str, spec: Json) -> Errors:
    """A user namespace of its own and the host's other namespaces exclude each other."""
    if spec.get("hostUsers") is not False:
        return []
    says = "when `hostUsers` is false"
    errors: Errors = []
    for field, shown in (
        ("hostNetwork", "hostNetwork"),
        ("hostPID", "HostPID"),
        ("hostIPC", "HostIPC"),
    ):
        if spec.get(field):
            errors += forbidden(f"{path}.{shown}", says)
    for here, container in containers_with_paths(path, spec):
        if container.get("volumeDevices"):
            errors += forbidden(f"{here}.volumeDevices", says)
    return errors
