"""Operating systems of pods: what Windows options may say, and what each system cannot have.

Nothing here runs Windows; the rules are the API's, and clients meet them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.rules import Errors, each, forbidden, invalid, not_supported, required

SPEC_LIMIT_KIB = 64
DOMAIN_LIMIT = 256
USER_LIMIT = 104
NOT_ON_WINDOWS = "cannot be set for a windows pod"
POD_FIELDS = (
    "securityContext.appArmorProfile", "securityContext.seLinuxOptions", "hostUsers", "hostPID",
    "hostIPC", "securityContext.seccompProfile", "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy", "securityContext.sysctls", "shareProcessNamespace",
    "securityContext.runAsUser", "securityContext.runAsGroup",
    "securityContext.supplementalGroups", "securityContext.supplementalGroupsPolicy",
    "securityContext.seLinuxChangePolicy",
)  # fmt: skip
CONTAINER_FIELDS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities",
    "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser",
    "runAsGroup",
)  # fmt: skip
_FALSE_IS_UNSET = frozenset(("hostPID", "hostIPC"))


def validate_options(path: str, options: Json | None) -> Errors:
    if not options:
        return []
    errors: Errors = []
    if (name := options.get("gmsaCredentialSpecName")) is not None:
        errors += each(f"{path}.gmsaCredentialSpecName", name, names.dns1123_subdomain(name))
    if (text := options.get("gmsaCredentialSpec")) is not None:
        here = f"{path}.gmsaCredentialSpec"
        if not text:
            errors += invalid(here, text, "gmsaCredentialSpec cannot be an empty string")
        elif len(text) > SPEC_LIMIT_KIB * 1024:
            says = f"gmsaCredentialSpec size must be under {SPEC_LIMIT_KIB} KiB"
            errors += invalid(here, text, says)
    if (user := options.get("runAsUserName")) is not None:
        errors += each(f"{path}.runAsUserName", user, _user_faults(user))
    return errors


def validate_os(path: str, spec: Json) -> Errors:
    """`spec.os`, and what does not go with it."""
    os = spec.get("os")
    if os is None:
        return []
    name = os.get("name") or ""
    if not name:
        return required(f"{path}.os.name")
    if name not in ("linux", "windows"):
        return not_supported(f"{path}.os", name, ("linux", "windows"))
    return _linux(path, spec) if name == "linux" else _windows(path, spec)


def validate_host_process(path: str, spec: Json) -> Errors:
    errors: Errors = []
    of_pod = _host_process(spec)
    found = total = 0
    for here, container in containers_with_paths(path, spec):
        total += 1
        own = _host_process(container)
        if of_pod is not None and own is not None and of_pod != own:
            shown = str(of_pod).lower()
            says = f"pod hostProcess value must be identical if both are specified, was {shown}"
            errors += invalid(f"{here}.securityContext.windowsOptions.hostProcess", own, says)
        found += bool(of_pod if own is None else own)
    if not found:
        return errors
    if found != total:
        says = (
            "If pod contains any hostProcess containers then all containers must be "
            "HostProcess containers"
        )
        errors += invalid(path, "", says)
    if not spec.get("hostNetwork"):
        says = "hostNetwork must be true if pod contains any hostProcess containers"
        errors += invalid(f"{path}.hostNetwork", False, says)
    return errors


def containers_with_paths(path: str, spec: Json) -> Iterator[tuple[str, Json]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for at, container in enumerate(spec.get(field) or ()):
            yield f"{path}.{field}[{at}]", container


def _host_process(holder: Json) -> bool | None:
    options = (holder.get("securityContext") or {}).get("windowsOptions") or {}
    value: bool | None = options.get("hostProcess")
    return value


def _linux(path: str, spec: Json) -> Errors:
    says = "windows options cannot be set for a linux pod"
    errors: Errors = []
    for here, holder in [(path, spec), *containers_with_paths(path, spec)]:
        if (holder.get("securityContext") or {}).get("windowsOptions") is not None:
            errors += forbidden(f"{here}.securityContext.windowsOptions", says)
    return errors


def _windows(path: str, spec: Json) -> Errors:
    errors: Errors = []
    rights = spec.get("securityContext") or {}
    for field in POD_FIELDS:
        holder, name = (rights, field.partition(".")[2]) if "." in field else (spec, field)
        value = holder.get(name)
        if value is not None and not (name in _FALSE_IS_UNSET and not value):
            errors += forbidden(f"{path}.{field}", NOT_ON_WINDOWS)
    for here, container in containers_with_paths(path, spec):
        rights = container.get("securityContext") or {}
        for name in CONTAINER_FIELDS:
            if rights.get(name) is not None:
                errors += forbidden(f"{here}.securityContext.{name}", NOT_ON_WINDOWS)
    return errors


def _user_faults(name: str) -> list[str]:
    if not name:
        return ["runAsUserName cannot be an empty string"]
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        return ["runAsUserName cannot contain control characters"]
    domain, slash, user = name.rpartition("\\")
    if "\\" in domain:
        return ["runAsUserName cannot contain more than one backslash"]
    faults: list[str] = []
    if len(domain) >= DOMAIN_LIMIT:
        faults.append(f"runAsUserName's Domain length must be under {DOMAIN_LIMIT} characters")
    if slash and not (_is_netbios(domain) or _is_dns(domain)):
        faults.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        faults.append("runAsUserName's User cannot be empty")
    elif len(user) > USER_LIMIT:
        faults.append(
            f"runAsUserName's User length must not be longer than {USER_LIMIT} characters"
        )
    if user and not user.strip(". "):
        faults.append("runAsUserName's User cannot contain only periods or spaces")
    if set(user) & set('"/\\:;|=,+*?<>@[]'):
        faults.append(
            "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"
        )
    return faults


def _is_netbios(domain: str) -> bool:
    return 1 <= len(domain) <= 15 and domain[0] != "." and not set(domain) & set('\\/:*?"<>|')


def _is_dns(domain: str) -> bool:
    label = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    return re.fullmatch(rf"{label}(?:\.{label})*", domain) is not None
