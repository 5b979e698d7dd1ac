"""The checks in upstream's order, and those of them that count for a level and version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sampan.api.meta import Json
from sampan.resources.podsecurity import baseline, restricted
from sampan.resources.podsecurity.policy import Level, Standard
from sampan.resources.podsecurity.subject import Check, Complaint, Subject


@dataclass(frozen=True, slots=True)
class Row:
    check: Check
    since: int = 0
    before: int | None = None
    """Minor versions of Kubernetes 1.x; the newest where there is no end."""
    replaced_since: int | None = None
    """At the restricted level a stricter check is asked instead, from that version on."""

    def counts(self, minor: int) -> bool:
        return self.since <= minor and (self.before is None or minor < self.before)


BASELINE = (
    Row(baseline.apparmor),
    Row(baseline.capabilities, replaced_since=22),
    Row(baseline.host_namespaces),
    Row(baseline.host_paths, replaced_since=0),
    Row(baseline.host_ports),
    Row(baseline.probe_hosts, since=34),
    Row(baseline.privileged),
    Row(baseline.proc_mount, before=35),
    Row(baseline.proc_mount_35, since=35, replaced_since=35),
    Row(baseline.selinux(baseline.SELINUX_0), before=31),
    Row(baseline.selinux(baseline.SELINUX_31), since=31),
    Row(baseline.seccomp_noted, before=19),
    Row(baseline.seccomp, since=19, replaced_since=19),
    Row(baseline.sysctls(baseline.SYSCTLS_0), before=27),
    Row(baseline.sysctls(baseline.SYSCTLS_27), since=27, before=29),
    Row(baseline.sysctls(baseline.SYSCTLS_29), since=29, before=32),
    Row(baseline.sysctls(baseline.SYSCTLS_32), since=32),
    Row(baseline.host_process),
)
RESTRICTED = (
    Row(restricted.escalation, since=8, before=25),
    Row(restricted.linux_only(restricted.escalation), since=25),
    Row(restricted.capabilities, since=22, before=25),
    Row(restricted.linux_only(restricted.capabilities), since=25),
    Row(baseline.proc_mount, since=35),
    Row(restricted.volumes),
    Row(restricted.non_root, before=35),
    Row(restricted.unless_own_users(restricted.non_root), since=35),
    Row(restricted.user, since=23, before=35),
    Row(restricted.unless_own_users(restricted.user), since=35),
    Row(restricted.seccomp_said, since=19, before=25),
    Row(restricted.linux_only(restricted.seccomp_said), since=25),
)


@cache
def checks(standard: Standard) -> tuple[Check, ...]:
    level, minor = standard.level, standard.minor
    if level == Level.PRIVILEGED:
        return ()
    rows = [row for row in BASELINE if row.counts(minor)]
    if level == Level.RESTRICTED:
        rows = [r for r in rows if r.replaced_since is None or minor < r.replaced_since]
        rows += [row for row in RESTRICTED if row.counts(minor)]
    return tuple(row.check for row in rows)


def complaints(standard: Standard, metadata: Json, spec: Json) -> list[Complaint]:
    """Everything in which a pod falls short of the standard."""
    pod = Subject(metadata, spec)
    found = [check(pod) for check in checks(standard)]
    return [complaint for complaint in found if complaint is not None]
