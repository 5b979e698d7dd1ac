"""The lists of containers: regular, init and ephemeral, in upstream's order of complaints."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import FieldError
from sampan.api.meta import Json
from sampan.resources.core.pod import env, mounts, probes, requirements, security
from sampan.resources.core.pod.context import Context
from sampan.resources.core.pod.levels import is_sidecar
from sampan.resources.rules import (
    Errors,
    duplicate,
    each,
    forbidden,
    invalid,
    named,
    not_supported,
    one_of,
    required,
    too_many,
)

PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
RESTART_POLICIES = ("Always", "Never", "OnFailure")
NOT_EPHEMERAL = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe",
    "readinessProbe", "startupProbe", "lifecycle",
)  # fmt: skip
SIDECAR_ONLY = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
ACTIONS = ("Restart", "RestartAllContainers")
RULES_LIMIT = 20
EXIT_CODES_LIMIT = 255


def validate_containers(path: str, containers: Sequence[Json], context: Context) -> Errors:
    if not containers:
        return required(path)
    errors: Errors = []
    seen: set[str] = set()
    for at, container in enumerate(containers):
        here = f"{path}[{at}]"
        errors += _common(here, container, context)
        name = container.get("name") or ""
        if name in seen:
            errors += duplicate(f"{here}.name", name)
        seen.add(name)
        errors += _running(here, container, context)
        errors += _restart(here, container)
    return errors + host_port_conflicts(path, containers)


def validate_init_containers(
    path: str, containers: Sequence[Json], regular: Sequence[Json], context: Context
) -> Errors:
    errors: Errors = []
    seen = {container.get("name") or "" for container in regular}
    for at, container in enumerate(containers):
        here = f"{path}[{at}]"
        errors += _common(here, container, context)
        errors += _restart(here, container)
        name = container.get("name") or ""
        if name in seen:
            errors += duplicate(f"{here}.name", name)
        elif name:
            seen.add(name)
        errors += host_port_conflicts(path, (container,))
        if is_sidecar(container):
            errors += _running(here, container, context)
            continue
        for field in SIDECAR_ONLY:
            if container.get(field) is not None:
                says = "may not be set for init containers without restartPolicy=Always"
                errors += forbidden(f"{here}.{field}", says)
        errors += _restart_on_resize(here, container)
    return errors


def validate_ephemeral_containers(path: str, spec: Json, context: Context) -> Errors:
    errors: Errors = []
    others = {
        container.get("name") or ""
        for field in ("containers", "initContainers")
        for container in spec.get(field) or ()
    }
    seen = set(others)
    for at, container in enumerate(spec.get("ephemeralContainers") or ()):
        here = f"{path}[{at}]"
        errors += _common(here, container, context) + validate_image(here, container)
        name = container.get("name") or ""
        if name in seen:
            errors += duplicate(f"{here}.name", name)
        seen.add(name)
        target = container.get("targetContainerName") or ""
        if target and target not in others:
            errors.append(FieldError("NotFound", f"{here}.targetContainerName", target))
        errors += _not_for_ephemeral(here, container)
    return errors


def _restart_on_resize(path: str, container: Json) -> Errors:
    """An init container that ran to its end cannot be restarted for a new size."""
    errors: Errors = []
    for at, policy in enumerate(container.get("resizePolicy") or ()):
        if policy.get("restartPolicy") == "RestartContainer":
            says = "must not be set to 'RestartContainer' for non-sidecar initContainers"
            where = f"{path}.resizePolicy[{at}].restartPolicy"
            errors += invalid(where, "RestartContainer", says)
    return errors


def validate_image(path: str, container: Json) -> Errors:
    """Only pods, not templates: their images may hold placeholders."""
    image = container.get("image") or ""
    if image != image.strip():
        says = "must not have leading or trailing whitespace"
        return invalid(f"{path}.image", image, says)
    return []


def host_port_conflicts(path: str, containers: Sequence[Json]) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for at, container in enumerate(containers):
        for index, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in seen:
                errors += duplicate(f"{path}[{at}].ports[{index}].hostPort", key)
            seen.add(key)
    return errors


def _common(path: str, container: Json, context: Context) -> Errors:
    """What holds for every container of any list."""
    errors = named(f"{path}.name", container.get("name"), names.dns1123_label)
    if not container.get("image"):
        errors += required(f"{path}.image")
    policy = container.get("terminationMessagePolicy")
    errors += one_of(f"{path}.terminationMessagePolicy", policy, ("File", "FallbackToLogsOnError"))
    if ports := container.get("ports"):
        errors += _ports(f"{path}.ports", ports)
    if variables := container.get("env"):
        errors += env.validate_env(f"{path}.env", variables)
    if sources := container.get("envFrom"):
        errors += env.validate_env_from(f"{path}.envFrom", sources)
    mounted, devices = container.get("volumeMounts") or (), container.get("volumeDevices")
    if mounted:
        errors += mounts.validate_mounts(f"{path}.volumeMounts", container, context.volumes)
    if devices:
        here = f"{path}.volumeDevices"
        errors += mounts.validate_devices(here, devices, mounted, context.volumes)
    pull = container.get("imagePullPolicy")
    errors += one_of(f"{path}.imagePullPolicy", pull, PULL_POLICIES)
    if needs := container.get("resources"):
        here = f"{path}.resources"
        errors += requirements.validate_requirements(here, needs, context.claims)
    if policies := container.get("resizePolicy"):
        here, restart = f"{path}.resizePolicy", context.restart_policy
        errors += requirements.validate_resize_policy(here, policies, restart)
    if (rights := container.get("securityContext")) is not None:
        here = f"{path}.securityContext"
        errors += security.validate_container(here, rights, host_users=context.host_users)
    return errors


def _running(path: str, container: Json, context: Context) -> Errors:
    """Hooks and probes of what keeps running."""
    errors: Errors = []
    if (lifecycle := container.get("lifecycle")) is not None:
        errors += probes.validate_lifecycle(f"{path}.lifecycle", lifecycle, context.grace_s)
    return errors + probes.validate_probes(path, container, context.grace_s)


def _restart(path: str, container: Json) -> Errors:
    """A container's own restart policy, and rules by exit code."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    errors: Errors = []
    if policy is not None and policy not in RESTART_POLICIES:
        errors += not_supported(f"{path}.restartPolicy", policy, RESTART_POLICIES)
    if rules and policy is None:
        says = "must specify restartPolicy when restart rules are used"
        errors += required(f"{path}.restartPolicy", says)
    if len(rules) > RULES_LIMIT:
        errors += too_many(f"{path}.restartPolicyRules", len(rules), RULES_LIMIT)
    for at, rule in enumerate(rules):
        errors += _restart_rule(f"{path}.restartPolicyRules[{at}]", rule)
    return errors


def _restart_rule(path: str, rule: Json) -> Errors:
    action = rule.get("action") or ""
    errors: Errors = []
    if action not in ACTIONS:
        errors += not_supported(f"{path}.action", action, ACTIONS)
    codes = rule.get("exitCodes")
    if codes is None:
        return errors + required(f"{path}.exitCodes", "must be specified")
    operator, values = codes.get("operator") or "", codes.get("values") or ()
    if operator not in ("In", "NotIn"):
        errors += not_supported(f"{path}.exitCodes.operator", operator, ("In", "NotIn"))
    if len(values) > EXIT_CODES_LIMIT:
        errors += too_many(f"{path}.exitCodes.values", len(values), EXIT_CODES_LIMIT)
    return errors


def _ports(path: str, ports: Sequence[Json]) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for at, port in enumerate(ports):
        here = f"{path}[{at}]"
        if name := port.get("name"):
            errors += _port_name(f"{here}.name", name, seen)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if not number:
            errors += required(f"{here}.containerPort")
        else:
            errors += each(f"{here}.containerPort", number, names.port_number(number))
        if host:
            errors += each(f"{here}.hostPort", host, names.port_number(host))
        errors += one_of(f"{here}.protocol", port.get("protocol"), PROTOCOLS)
    return errors


def _port_name(path: str, name: str, seen: set[str]) -> Errors:
    errors = each(path, name, names.port_name(name))
    if errors:
        return errors
    if name in seen:
        return duplicate(path, name)
    seen.add(name)
    return []


def _not_for_ephemeral(path: str, container: Json) -> Errors:
    """They are for looking, not for serving."""
    says = "cannot be set for an Ephemeral Container"
    errors: Errors = []
    for field in NOT_EPHEMERAL:
        if container.get(field):
            errors += forbidden(f"{path}.{field}", says)
    for at, mount in enumerate(container.get("volumeMounts") or ()):
        for field in ("subPath", "subPathExpr"):
            if mount.get(field):
                errors += forbidden(f"{path}.volumeMounts[{at}].{field}", says)
    return errors
