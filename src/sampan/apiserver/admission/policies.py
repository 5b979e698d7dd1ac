"""ValidatingAdmissionPolicy: expressions that must hold, and what happens when they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sampan.api import selectors
from sampan.api.errors import (
    ApiError,
    Forbidden,
    Invalid,
    RequestEntityTooLarge,
    Unauthorized,
)
from sampan.api.meta import Json
from sampan.apiserver.admission.matching import matches, request_of
from sampan.apiserver.attempts import Attempt
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.cacher.item import Item
from sampan.apiserver.served import Catalog
from sampan.resources.admissionregistration import expressions
from sampan.resources.cel.program import (
    CompileError,
    EvaluationError,
    Program,
    compile_expression,
)

GROUP = "admissionregistration.k8s.io"
NO_PARAMS = (
    "failed to configure binding: no params found for policy binding with `Deny` "
    "parameterNotFoundAction"
)

REASONS: dict[str, type[ApiError]] = {
    "Unauthorized": Unauthorized,
    "Forbidden": Forbidden,
    "Invalid": Invalid,
    "RequestEntityTooLarge": RequestEntityTooLarge,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One validation."""

    source: str
    program: Program
    message: str
    message_program: Program | None
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, compiled."""

    name: str
    spec: Json
    conditions: tuple[Program, ...]
    variables: tuple[tuple[str, Program], ...]
    rules: tuple[Rule, ...]

    @property
    def fails_closed(self) -> bool:
        return self.spec.get("failurePolicy") != "Ignore"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that does not hold, or could not be asked."""

    message: str
    reason: str = "Invalid"


class ValidatingAdmissionPolicies:
    def __init__(self, cacher: Cacher, catalog: Catalog) -> None:
        self._policies = cacher.collection(GROUP, "validatingadmissionpolicies")
        self._bindings = cacher.collection(GROUP, "validatingadmissionpolicybindings")
        self._namespaces = cacher.collection("", "namespaces")
        self._catalog = catalog
        self._compiled: dict[str, tuple[int, Policy | None]] = {}

    async def admit(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        if not self._bindings.count or attempt.id.group == GROUP:
            return
        for item in self._bindings.items():
            binding = item.decode()
            spec = binding["spec"]
            policy = self._policy(spec.get("policyName", ""))
            if policy is None or not self._concerns(policy, spec, attempt):
                continue
            chosen = self._params(policy, spec, attempt)
            if chosen is None:
                _act(attempt, policy.name, binding, Finding(NO_PARAMS))
                continue
            for params in chosen:
                for finding in self._ask(policy, params, attempt):
                    _act(attempt, policy.name, binding, finding)

    def _policy(self, name: str) -> Policy | None:
        """Compiled once for each revision; one that cannot be compiled was refused when made."""
        item = self._policies.get("", name)
        if item is None:
            return None
        known = self._compiled.get(name)
        if known is None or known[0] != item.revision:
            known = self._compiled[name] = (item.revision, compiled(item))
        return known[1]

    def _concerns(self, policy: Policy, binding: Json, attempt: Attempt) -> bool:
        if not matches(policy.spec.get("matchConstraints") or {}, attempt, self._namespaces):
            return False
        wanted = binding.get("matchResources")
        return wanted is None or matches(wanted, attempt, self._namespaces)

    def _params(
        self, policy: Policy, binding: Json, attempt: Attempt
    ) -> Sequence[Json | None] | None:
        """The objects that parametrise a policy; one None where it takes none. None where there
        ought to be some.
        """
        kind, ref = policy.spec.get("paramKind"), binding.get("paramRef")
        if kind is None or ref is None:
            return (None,)
        group, _, version = kind["apiVersion"].rpartition("/")
        served = self._catalog.of_kind(group, kind["kind"])
        found: list[Json | None] = []
        if served is not None and served.id.version == version:
            space = (ref.get("namespace") or attempt.namespace) if served.id.namespaced else ""
            selector = ref.get("selector")
            for item in served.collection.items(space):
                named = not ref.get("name") or item.name == ref["name"]
                chosen = selector is None or selectors.from_object(selector).matches(item.labels)
                if named and chosen and (not served.id.namespaced or item.namespace == space):
                    found.append(served.current(item))
        if not found and ref.get("parameterNotFoundAction") == "Deny" and policy.fails_closed:
            return None
        return found

    def _ask(self, policy: Policy, params: Json | None, attempt: Attempt) -> Sequence[Finding]:
        """What does not hold."""
        values = self._values(policy, params, attempt)
        try:
            if not all(condition.run(values) is True for condition in policy.conditions):
                return ()
        except EvaluationError as error:
            return [Finding(str(error))] if policy.fails_closed else ()
        found = []
        for rule in policy.rules:
            try:
                if rule.program.run(values) is True:
                    continue
            except EvaluationError as error:
                if policy.fails_closed:
                    text = f"expression '{rule.source}' resulted in error: {error}"
                    found.append(Finding(text))
                continue
            found.append(Finding(_message(rule, values), rule.reason))
        return found

    def _values(self, policy: Policy, params: Json | None, attempt: Attempt) -> dict[str, Any]:
        values: dict[str, Any] = {
            "object": attempt.obj, "oldObject": attempt.old, "request": request_of(attempt),
            "params": params, "namespaceObject": self._namespace(attempt), "authorizer": None,
        }  # fmt: skip
        variables: dict[str, Any] = {}
        values["variables"] = variables
        for name, program in policy.variables:
            try:
                variables[name] = program.run(values)
            except EvaluationError:
                # Only an expression that uses it fails, by not finding it.
                continue
        return values

    def _namespace(self, attempt: Attempt) -> Json | None:
        item = self._namespaces.get("", attempt.namespace) if attempt.namespace else None
        return {**item.decode(), "kind": "Namespace", "apiVersion": "v1"} if item else None


def compiled(item: Item) -> Policy | None:
    """None when something in it cannot be compiled."""
    spec = item.decode()["spec"]
    try:
        known = expressions.kinds_of(spec.get("variables") or ())
        plain = expressions.scope(with_params=True)
        full = expressions.scope(with_params=True, variables=known)
        return Policy(
            item.name,
            spec,
            tuple(
                compile_expression(c["expression"], plain)
                for c in spec.get("matchConditions") or ()
            ),
            tuple(
                (v["name"], compile_expression(v["expression"], full))
                for v in spec.get("variables") or ()
            ),
            tuple(_rule(v, full) for v in spec.get("validations") or ()),
        )
    except CompileError:
        return None


def _rule(validation: Json, scope: Mapping[str, Any]) -> Rule:
    told = validation.get("messageExpression")
    return Rule(
        validation["expression"],
        compile_expression(validation["expression"], scope),
        validation.get("message") or "",
        compile_expression(told, scope) if told else None,
        validation.get("reason") or "Invalid",
    )


def _message(rule: Rule, values: Mapping[str, Any]) -> str:
    """The made message where there is one, else the written one, else the expression."""
    if rule.message_program is not None:
        try:
            made = rule.message_program.run(values)
        except EvaluationError:
            made = ""
        if isinstance(made, str) and made.strip() and "\n" not in made:
            return made.strip()
    return rule.message or f"failed expression: {rule.source.strip()}"


def _act(attempt: Attempt, policy: str, binding: Json, finding: Finding) -> None:
    """Deny raises, Warn warns."""
    name, actions = binding["metadata"]["name"], binding["spec"].get("validationActions") or ()
    if "Warn" in actions:
        attempt.call.warn(
            f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{name}': "
            f"{finding.message}"
        )
    if "Deny" not in actions:
        return
    message = (
        f"ValidatingAdmissionPolicy '{policy}' with binding '{name}' denied request: "
        f"{finding.message}"
    )
    refused = attempt.forbid(message)
    kind = REASONS.get(finding.reason, Invalid)
    details = {**(refused.details or {}), "causes": [{"message": message}]}
    raise kind(refused.message, details=details)
