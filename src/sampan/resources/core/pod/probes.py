"""Probes, life cycle hooks and their handlers: exec, HTTP, TCP, gRPC, sleep."""

from __future__ import annotations

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.rules import (
    Errors,
    all_nonnegative,
    each,
    forbidden,
    invalid,
    not_supported,
    required,
)

PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
COUNTERS = (
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
    "failureThreshold",
)  # fmt: skip


def validate_probes(path: str, container: Json, grace_s: int | None) -> Errors:
    errors: Errors = []
    if (probe := container.get("livenessProbe")) is not None:
        errors += _probe(f"{path}.livenessProbe", probe, grace_s, once=True)
    if (probe := container.get("readinessProbe")) is not None:
        here = f"{path}.readinessProbe"
        errors += _probe(here, probe, grace_s, once=False)
        if (given := probe.get("terminationGracePeriodSeconds")) is not None:
            field = f"{here}.terminationGracePeriodSeconds"
            errors += invalid(field, given, "must not be set for readinessProbes")
    if (probe := container.get("startupProbe")) is not None:
        errors += _probe(f"{path}.startupProbe", probe, grace_s, once=True)
    return errors


def validate_lifecycle(path: str, lifecycle: Json, grace_s: int | None) -> Errors:
    errors: Errors = []
    for field in ("postStart", "preStop"):
        if (hook := lifecycle.get(field)) is not None:
            errors += _handler(f"{path}.{field}", hook, HOOK_HANDLERS, grace_s)
    return errors


def port_number_or_name(path: str, port: int | str | None) -> Errors:
    """A port by number, or by the name that a container gives it."""
    if isinstance(port, str):
        return each(path, port, names.port_name(port))
    number = port or 0
    return each(path, number, names.port_number(number))


def _probe(path: str, probe: Json, grace_s: int | None, *, once: bool) -> Errors:
    errors = _handler(path, probe, PROBE_HANDLERS, grace_s)
    errors += all_nonnegative(path, probe, COUNTERS)
    given = probe.get("terminationGracePeriodSeconds")
    if given is not None and given <= 0:
        errors += invalid(f"{path}.terminationGracePeriodSeconds", given, "must be greater than 0")
    if once and probe.get("successThreshold", 0) != 1:
        errors += invalid(f"{path}.successThreshold", probe.get("successThreshold", 0), "must be 1")
    return errors


def _handler(path: str, holder: Json, kinds: tuple[str, ...], grace_s: int | None) -> Errors:
    errors: Errors = []
    found = False
    for kind in kinds:
        action = holder.get(kind)
        if action is None:
            continue
        if found:
            errors += forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
            continue
        found = True
        errors += _action(f"{path}.{kind}", kind, action, grace_s)
    return errors if found else required(path, "must specify a handler type")


def _action(path: str, kind: str, action: Json, grace_s: int | None) -> Errors:
    if kind == "exec":
        return [] if action.get("command") else required(f"{path}.command")
    if kind == "httpGet":
        return _http(path, action)
    if kind == "sleep":
        return _sleep(path, action.get("seconds", 0), grace_s)
    return port_number_or_name(f"{path}.port", action.get("port"))


def _http(path: str, action: Json) -> Errors:
    errors: Errors = []
    if not action.get("path"):
        errors += required(f"{path}.path")
    errors += port_number_or_name(f"{path}.port", action.get("port"))
    scheme = action.get("scheme") or ""
    if scheme not in ("HTTP", "HTTPS"):
        errors += not_supported(f"{path}.scheme", scheme, ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        errors += each(f"{path}.httpHeaders", name, names.header_name(name))
    return errors


def _sleep(path: str, seconds: int, grace_s: int | None) -> Errors:
    if grace_s is None or 0 <= seconds <= grace_s:
        return []
    says = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
    return invalid(path, seconds, says)


_RANGE = tuple(
    f"{base}{sign}{step}"
    for base, sign, top in (("SIGRTMAX", "-", 14), ("SIGRTMIN", "+", 15))
    for step in range(1, top + 1)
)
SIGNALS = tuple(
    sorted(
        (
            *_RANGE, "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE",
            "SIGHUP", "SIGILL", "SIGINT", "SIGIO", "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL",
            "SIGPROF", "SIGPWR", "SIGQUIT", "SIGRTMAX", "SIGRTMIN", "SIGSEGV", "SIGSTKFLT",
            "SIGSTOP", "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG",
            "SIGUSR1", "SIGUSR2", "SIGVTALRM", "SIGWINCH", "SIGXCPU", "SIGXFSZ",
        )
    )
)  # fmt: skip
