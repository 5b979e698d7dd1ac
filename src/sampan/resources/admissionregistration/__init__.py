"""admissionregistration.k8s.io/v1: who else has a say in admission."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.admissionregistration.binding import (
    MUTATINGADMISSIONPOLICYBINDING,
    VALIDATINGADMISSIONPOLICYBINDING,
)
from sampan.resources.admissionregistration.policy import (
    MUTATINGADMISSIONPOLICY,
    VALIDATINGADMISSIONPOLICY,
)
from sampan.resources.admissionregistration.webhook import (
    MUTATINGWEBHOOKCONFIGURATION,
    VALIDATINGWEBHOOKCONFIGURATION,
)

RESOURCES: tuple[Resource, ...] = (
    MUTATINGADMISSIONPOLICY,
    MUTATINGADMISSIONPOLICYBINDING,
    MUTATINGWEBHOOKCONFIGURATION,
    VALIDATINGADMISSIONPOLICY,
    VALIDATINGADMISSIONPOLICYBINDING,
    VALIDATINGWEBHOOKCONFIGURATION,
)
