"""The rules of a Service's load balancer class and traffic policies."""

from __future__ import annotations

from sampan.api import names
from sampan.api.meta import Json
from sampan.resources.core.service import traits
from sampan.resources.rules import (
    Errors,
    each,
    forbidden,
    invalid,
    not_supported,
    one_of,
    required,
)

TRAFFIC = ("Cluster", "Local")
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
ONLY_BALANCERS = "may only be used when `type` is 'LoadBalancer'"


def validate_policies(spec: Json) -> Errors:
    balanced = spec.get("type") == "LoadBalancer"
    allocate = spec.get("allocateLoadBalancerNodePorts")
    errors: Errors = []
    if allocate is not None and not balanced:
        errors += forbidden("spec.allocateLoadBalancerNodePorts", ONLY_BALANCERS)
    if allocate is None and balanced:
        errors += required("allocateLoadBalancerNodePorts")
    errors += balancer_class(spec)
    errors += _external(spec)
    errors += _internal(spec)
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in DISTRIBUTIONS:
        errors += not_supported("spec.trafficDistribution", distribution, DISTRIBUTIONS)
    return errors


def _external(spec: Json) -> Errors:
    policy, port = spec.get("externalTrafficPolicy") or "", spec.get("healthCheckNodePort") or 0
    errors: Errors = []
    if traits.is_external(spec):
        errors += one_of("spec.externalTrafficPolicy", policy, TRAFFIC)
    elif policy:
        says = "may only be set for externally-accessible services"
        errors += invalid("spec.externalTrafficPolicy", policy, says)
    here = "spec.healthCheckNodePort"
    if traits.needs_health_check(spec):
        found = each(here, port, names.port_number(port)) if port else required(here)
        return errors + found
    if port:
        says = (
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        )
        errors += invalid(here, port, says)
    return errors


def _internal(spec: Json) -> Errors:
    policy = spec.get("internalTrafficPolicy")
    if policy is None:
        return required("spec.internalTrafficPolicy") if traits.needs_ip(spec) else []
    if policy in TRAFFIC:
        return []
    return not_supported("spec.internalTrafficPolicy", policy, TRAFFIC)


def balancer_class(spec: Json) -> Errors:
    name, here = spec.get("loadBalancerClass"), "spec.loadBalancerClass"
    if name is None:
        return []
    if spec.get("type") == "LoadBalancer":
        return each(here, name, names.qualified_name(name))
    return forbidden(here, ONLY_BALANCERS)
