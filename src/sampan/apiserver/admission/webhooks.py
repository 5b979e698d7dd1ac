"""Admission webhooks: somebody else changes objects, or says no to them.

mutating    one after the other, in the order of their configurations' names; those that ask
            for it a second time, when a later one changed the object
validating  all at once, on the object as it will be stored
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sampan.api.errors import ApiError, BadRequest, InternalError
from sampan.api.leaves import DecodeError
from sampan.api.meta import Json
from sampan.api.patch import json_patch
from sampan.apiserver.admission.matching import matches, request_of
from sampan.apiserver.admission.webhook_call import Answer, Unanswered, WebhookCalls
from sampan.apiserver.attempts import Attempt
from sampan.apiserver.cacher.cacher import Cacher
from sampan.apiserver.cacher.item import Item
from sampan.resources.admissionregistration import expressions
from sampan.resources.cel.program import EvaluationError, Program, compile_expression

GROUP = "admissionregistration.k8s.io"
MUTATING, VALIDATING = "mutatingwebhookconfigurations", "validatingwebhookconfigurations"
TIMEOUT_S = 10
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class Refused(ApiError):
    """A webhook said no; the client is told in its words."""

    def __init__(self, name: str, status: Json) -> None:
        lead = f'admission webhook "{name}" denied the request'
        why = status.get("message") or status.get("reason")
        text = f"{lead}: {why}" if why else f"{lead} without explanation"
        super().__init__(text, details=status.get("details"))
        self._said = status

    @property
    def code(self) -> int:  # type: ignore[override]
        said = self._said.get("code")
        return said if isinstance(said, int) and said >= 400 else 400

    def status(self) -> Json:
        body = super().status()
        reason = self._said.get("reason")
        body["code"], body["reason"] = self.code, reason
        return body if reason else {key: body[key] for key in body if key != "reason"}


@dataclass(frozen=True, slots=True)
class Webhook:
    spec: Json
    conditions: tuple[Program, ...]

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def fails_open(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"


class Webhooks:
    """The configurations of one sort, compiled once for each revision."""

    def __init__(self, cacher: Cacher, plural: str, new_uid: Callable[[], str]) -> None:
        self._configurations = cacher.collection(GROUP, plural)
        self._namespaces = cacher.collection("", "namespaces")
        self._calls = WebhookCalls(cacher)
        self._new_uid = new_uid
        self._known: dict[str, tuple[int, tuple[Webhook, ...]]] = {}

    def concerned(self, attempt: Attempt) -> list[Webhook]:
        """Those that look at this write, in order. Configurations themselves are exempt: else a
        broken one could not be taken away.
        """
        if not self._configurations.count or attempt.id.group == GROUP:
            return []
        items = sorted(self._configurations.items(), key=lambda item: item.name)
        found = [webhook for item in items for webhook in self._of(item)]
        ruled = [each for each in found if each.spec.get("rules")]
        return [each for each in ruled if matches(each.spec, attempt, self._namespaces)]

    def _of(self, item: Item) -> tuple[Webhook, ...]:
        known = self._known.get(item.name)
        if known is None or known[0] != item.revision:
            specs = item.decode().get("webhooks") or ()
            known = self._known[item.name] = (item.revision, tuple(map(compiled, specs)))
        return known[1]

    async def ask(self, webhook: Webhook, attempt: Attempt) -> Answer | None:
        """None where it does not want to be asked, or may be left out. Raises ApiError."""
        request = self._request(attempt)
        if not self._wanted(webhook, request, attempt):
            return None
        if attempt.dry_run and webhook.spec.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise BadRequest(f'admission webhook "{webhook.name}" does not support dry run')
        timeout = webhook.spec.get("timeoutSeconds") or TIMEOUT_S
        try:
            answer = await self._calls.ask(webhook.spec["clientConfig"], request, timeout)
        except Unanswered as error:
            failed(webhook, str(error))
            return None
        for text in answer.warnings:
            attempt.call.warn(text)
        if not answer.allowed:
            raise Refused(webhook.name, answer.status)
        return answer

    def _request(self, attempt: Attempt) -> Json:
        options = attempt.options
        if options is None:
            kind = _OPTIONS.get(attempt.operation)
            options = {"kind": kind, "apiVersion": "meta.k8s.io/v1"} if kind else None
        return {
            "uid": self._new_uid(), **request_of(attempt),
            "object": attempt.obj, "oldObject": attempt.old, "options": options,
        }  # fmt: skip

    def _wanted(self, webhook: Webhook, request: Json, attempt: Attempt) -> bool:
        """A condition that fails counts as the failure policy says, unless another is false."""
        values = {
            "object": attempt.obj, "oldObject": attempt.old, "request": request,
            "authorizer": None,
        }  # fmt: skip
        errors = []
        for condition in webhook.conditions:
            try:
                if condition.run(values) is not True:
                    return False
            except EvaluationError as error:
                errors.append(str(error))
        if errors:
            failed(webhook, "; ".join(errors))
        return not errors


def failed(webhook: Webhook, why: str) -> None:
    """Raises InternalError unless the webhook's failures are to be ignored."""
    if webhook.fails_open:
        return
    text = f'failed calling webhook "{webhook.name}": {why}'
    raise InternalError(f"Internal error occurred: {text}", details={"causes": [{"message": text}]})


def compiled(spec: Json) -> Webhook:
    """Its conditions compiled when the configuration was written."""
    scope = expressions.scope(with_params=False)
    conditions = spec.get("matchConditions") or ()
    return Webhook(spec, tuple(compile_expression(c["expression"], scope) for c in conditions))


class MutatingWebhooks:
    def __init__(self, cacher: Cacher, new_uid: Callable[[], str]) -> None:
        self._webhooks = Webhooks(cacher, MUTATING, new_uid)

    async def admit(self, attempt: Attempt) -> None:
        asked = self._webhooks.concerned(attempt)
        changed = await self._round(asked, attempt)
        if not changed:
            return
        last = max(changed)
        again = [
            webhook
            for at, webhook in enumerate(asked)
            if at < last and webhook.spec.get("reinvocationPolicy") == "IfNeeded"
        ]
        await self._round(again, attempt)

    async def _round(self, webhooks: Sequence[Webhook], attempt: Attempt) -> list[int]:
        """The places of those that changed the object."""
        changed = []
        for at, webhook in enumerate(webhooks):
            answer = await self._webhooks.ask(webhook, attempt)
            if answer is not None and answer.patch and _change(webhook, attempt, answer.patch):
                changed.append(at)
        return changed

    async def validate(self, attempt: Attempt) -> None:
        return


def _change(webhook: Webhook, attempt: Attempt, patch: list[Json]) -> bool:
    """Whether there is a change; what results is an object of its kind again."""
    obj = attempt.obj
    if obj is None:
        raise InternalError(
            f'Internal error occurred: admission webhook "{webhook.name}" attempted to modify the '
            "object, which is not supported for this operation"
        )
    try:
        new = attempt.served.decode(json_patch(obj, patch)).obj
    except (ApiError, DecodeError) as error:
        raise InternalError(f"Internal error occurred: {error}") from error
    new["kind"], new["apiVersion"] = obj["kind"], obj["apiVersion"]
    if new == obj:
        return False
    obj.clear()
    obj.update(new)
    return True


class ValidatingWebhooks:
    def __init__(self, cacher: Cacher, new_uid: Callable[[], str]) -> None:
        self._webhooks = Webhooks(cacher, VALIDATING, new_uid)

    async def admit(self, attempt: Attempt) -> None:
        return

    async def validate(self, attempt: Attempt) -> None:
        asked = self._webhooks.concerned(attempt)
        if not asked:
            return
        answers = await asyncio.gather(
            *(self._webhooks.ask(webhook, attempt) for webhook in asked), return_exceptions=True
        )
        raise_first(answers)


def raise_first(answers: Iterable[object]) -> None:
    """Every webhook has been heard; the first in order that refused is told."""
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
