"""authorization.k8s.io/v1: who may do what. Nothing here is stored."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import kinds
from sampan.api.errors import FieldError
from sampan.api.meta import Json, ResourceId
from sampan.api.resource import Resource, no_rules
from sampan.resources.authorization import review

_Validate = Callable[[Json, Json | None, str], list[FieldError]]


def _review(rid: ResourceId, validate: _Validate) -> Resource:
    return Resource(
        id=rid,
        schema=f"io.k8s.api.authorization.v1.{rid.kind}",
        singular=rid.kind.lower(),
        verbs=("create",),
        validate=validate,
        generation=False,
    )


LOCALSUBJECTACCESSREVIEW = _review(kinds.LOCALSUBJECTACCESSREVIEWS, review.local)
SELFSUBJECTACCESSREVIEW = _review(kinds.SELFSUBJECTACCESSREVIEWS, review.own)
SELFSUBJECTRULESREVIEW = _review(kinds.SELFSUBJECTRULESREVIEWS, no_rules)
SUBJECTACCESSREVIEW = _review(kinds.SUBJECTACCESSREVIEWS, review.subject)

RESOURCES: tuple[Resource, ...] = (
    LOCALSUBJECTACCESSREVIEW, SELFSUBJECTACCESSREVIEW, SELFSUBJECTRULESREVIEW, SUBJECTACCESSREVIEW,
)  # fmt: skip
