"""authentication.k8s.io/v1: who somebody is. Nothing here is stored."""

from __future__ import annotations

from sampan.api import kinds
from sampan.api.resource import Resource

SELFSUBJECTREVIEW = Resource(
    id=kinds.SELFSUBJECTREVIEWS,
    schema="io.k8s.api.authentication.v1.SelfSubjectReview",
    singular="selfsubjectreview",
    verbs=("create",),
    generation=False,
)

TOKENREVIEW = Resource(
    id=kinds.TOKENREVIEWS,
    schema="io.k8s.api.authentication.v1.TokenReview",
    singular="tokenreview",
    verbs=("create",),
    generation=False,
)

RESOURCES: tuple[Resource, ...] = (SELFSUBJECTREVIEW, TOKENREVIEW)
