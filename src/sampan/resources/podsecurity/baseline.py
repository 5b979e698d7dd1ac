"""Checks of the baseline level: no known way out of a pod."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sampan.api.meta import Json
from sampan.resources.podsecurity.subject import (
    Check,
    Complaint,
    Subject,
    containers,
    context_of,
    plural,
    quoted,
    uses,
)

HARMLESS = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))  # fmt: skip
"""The capabilities that runtimes give to everybody."""

PROFILES = ("Localhost", "RuntimeDefault")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"

SYSCTLS_0 = frozenset((
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start",
))  # fmt: skip
SYSCTLS_27 = SYSCTLS_0 | {"net.ipv4.ip_local_reserved_ports"}
SYSCTLS_29 = SYSCTLS_27 | {
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SYSCTLS_32 = SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}

SELINUX_0 = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))
SELINUX_31 = SELINUX_0 | {"container_engine_t"}


def apparmor(pod: Subject) -> Complaint | None:
    def kind(context: Json) -> str | None:
        profile = context.get("appArmorProfile")
        return None if profile is None else profile.get("type", "")

    def bad(context: Json) -> bool:
        return kind(context) not in (None, *PROFILES)

    contexts = [pod.context, *map(context_of, pod.containers())]
    values = sorted({str(kind(context)) for context in contexts if bad(context)})
    setters = pod.setters(bad)
    noted = sorted(
        f"{key}={json.dumps(value)}"
        for key, value in pod.annotations.items()
        if key.startswith(_APPARMOR)
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    )
    if noted:
        values += noted
        setters.append(plural("annotation", len(noted)))
    if not setters:
        return None
    return Complaint(
        plural("forbidden AppArmor profile", len(values)),
        f"{' and '.join(setters)} must not set AppArmor profile type to {quoted(values)}",
    )


def added(context: Json, allowed: frozenset[str]) -> list[str]:
    """Capabilities beyond those."""
    found = (context.get("capabilities") or {}).get("add") or ()
    return [each for each in found if each not in allowed]


def capabilities(pod: Subject) -> Complaint | None:
    beyond = {c for each in pod.containers() for c in added(context_of(each), HARMLESS)}
    if not beyond:
        return None
    names = pod.who(lambda context: bool(added(context, HARMLESS)))
    return Complaint("non-default capabilities", must_not_add(names, beyond))


def must_not_add(names: list[str], beyond: set[str]) -> str:
    found = quoted(sorted(beyond))
    return f"{containers(names)} must not include {found} in securityContext.capabilities.add"


def host_namespaces(pod: Subject) -> Complaint | None:
    fields = ("hostNetwork", "hostPID", "hostIPC")
    shared = [f"{field}=true" for field in fields if pod.spec.get(field)]
    return Complaint("host namespaces", ", ".join(shared)) if shared else None


def host_paths(pod: Subject) -> Complaint | None:
    names = [volume["name"] for volume in pod.volumes() if volume.get("hostPath") is not None]
    if not names:
        return None
    return Complaint("hostPath volumes", f"{plural('volume', len(names))} {quoted(names)}")


def host_ports(pod: Subject) -> Complaint | None:
    names: list[str] = []
    ports: set[str] = set()
    for container in pod.containers():
        found = {str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")}
        if found:
            names.append(container["name"])
            ports |= found
    if not names:
        return None
    detail = (
        f"{containers(names)} {uses(len(names))} {plural('hostPort', len(ports))} "
        f"{', '.join(sorted(ports))}"
    )
    return Complaint("hostPort", detail)


def probe_hosts(pod: Subject) -> Complaint | None:
    names: set[str] = set()
    hosts: set[str] = set()
    for container in pod.containers():
        found = set(_hosts(container))
        if found:
            names.add(container["name"])
            hosts |= found
    if not names:
        return None
    what = "probe or lifecycle host"
    detail = (
        f"{containers(sorted(names))} {uses(len(names))} {plural(what, len(hosts))} "
        f"{quoted(sorted(hosts))}"
    )
    return Complaint(what, detail)


def _hosts(container: Json) -> Iterator[str]:
    cycle = container.get("lifecycle") or {}
    handlers = [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
    for handler in (*handlers, cycle.get("postStart"), cycle.get("preStop")):
        for action in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(action) or {}).get("host")
            if host:
                yield host


def privileged(pod: Subject) -> Complaint | None:
    names = pod.who(lambda context: context.get("privileged") is True)
    if not names:
        return None
    says = f"{containers(names)} must not set securityContext.privileged=true"
    return Complaint("privileged", says)


def proc_mount(pod: Subject) -> Complaint | None:
    def kind(context: Json) -> str:
        return str(context.get("procMount") or "Default")

    names = pod.who(lambda context: kind(context) != "Default")
    if not names:
        return None
    kinds = {kind(context_of(each)) for each in pod.containers()} - {"Default"}
    says = f"must not set securityContext.procMount to {quoted(sorted(kinds))}"
    return Complaint("procMount", f"{containers(names)} {says}")


def proc_mount_35(pod: Subject) -> Complaint | None:
    return None if pod.own_users else proc_mount(pod)


def selinux(allowed: frozenset[str]) -> Check:
    def options(context: Json) -> Json:
        return context.get("seLinuxOptions") or {}

    def bad(context: Json) -> bool:
        said = options(context)
        strange = said.get("type", "") not in allowed
        return strange or bool(said.get("user") or said.get("role"))

    def check(pod: Subject) -> Complaint | None:
        setters = pod.setters(bad)
        if not setters:
            return None
        found = [options(pod.context), *(options(context_of(c)) for c in pod.containers())]
        types = sorted({said.get("type", "") for said in found} - allowed)
        says = [f"{plural('type', len(types))} {quoted(types)}"] if types else []
        said_too = [f for f in ("user", "role") if any(said.get(f) for said in found)]
        says += [f"{field} may not be set" for field in said_too]
        return Complaint(
            "seLinuxOptions",
            f"{' and '.join(setters)} set forbidden securityContext.seLinuxOptions: "
            f"{'; '.join(says)}",
        )

    return check


def seccomp_noted(pod: Subject) -> Complaint | None:
    """As it was said before there was a field."""
    keys = [_SECCOMP_POD, *(f"{_SECCOMP}{each['name']}" for each in pod.containers())]
    bad = sorted({
        f"{key}={json.dumps(value)}"
        for key in keys
        if (value := pod.annotations.get(key)) is not None
        and value not in ("runtime/default", "docker/default")
        and not value.startswith("localhost/")
    })  # fmt: skip
    if not bad:
        return None
    says = f"forbidden {plural('annotation', len(bad))} {', '.join(bad)}"
    return Complaint("seccompProfile", says)


def seccomp_kind(context: Json) -> str | None:
    """None where nothing is said."""
    profile = context.get("seccompProfile")
    return None if profile is None else profile.get("type", "")


def seccomp(pod: Subject) -> Complaint | None:
    setters = pod.setters(lambda context: seccomp_kind(context) not in (None, *PROFILES))
    if not setters:
        return None
    contexts = [pod.context, *map(context_of, pod.containers())]
    kinds = {str(k) for k in map(seccomp_kind, contexts) if k is not None} - set(PROFILES)
    return Complaint(
        "seccompProfile",
        f"{' and '.join(setters)} must not set securityContext.seccompProfile.type to "
        f"{quoted(sorted(kinds))}",
    )


def sysctls(allowed: frozenset[str]) -> Check:
    def check(pod: Subject) -> Complaint | None:
        names = [each["name"] for each in pod.context.get("sysctls") or ()]
        bad = [name for name in names if name not in allowed]
        return Complaint("forbidden sysctls", ", ".join(bad)) if bad else None

    return check


def host_process(pod: Subject) -> Complaint | None:
    def bad(context: Json) -> bool:
        return (context.get("windowsOptions") or {}).get("hostProcess") is True

    setters = pod.setters(bad)
    if not setters:
        return None
    says = f"{' and '.join(setters)} must not set securityContext.windowsOptions.hostProcess=true"
    return Complaint("hostProcess", says)
