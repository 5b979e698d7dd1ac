"""batch/v1: work that ends."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.batch.cronjob import CRONJOB
from sampan.resources.batch.job import JOB

RESOURCES: tuple[Resource, ...] = (CRONJOB, JOB)
