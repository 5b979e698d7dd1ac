"""What the API server hands to expressions of webhooks and policies beside the objects: the request
and the namespace, with the fields that they have.
"""

from __future__ import annotations

from sampan.resources.cel import types
from sampan.resources.cel.types import BOOL, DYN, INT, STRING, TIMESTAMP, Kind


def _object(name: str, /, **fields: Kind) -> Kind:
    return types.object_of(fields, f"kubernetes.{name}")


_TEXTS, _LABELS = types.list_of(STRING), types.map_of(STRING)
_GVK = _object("GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_GVR = _object("GroupVersionResource", group=STRING, version=STRING, resource=STRING)
_USER = _object("UserInfo", username=STRING, uid=STRING, groups=_TEXTS, extra=types.map_of(_TEXTS))
REQUEST = _object(
    "AdmissionRequest", kind=_GVK, resource=_GVR, subResource=STRING, requestKind=_GVK,
    requestResource=_GVR, requestSubResource=STRING, name=STRING, namespace=STRING,
    operation=STRING, userInfo=_USER, dryRun=BOOL, options=DYN,
)  # fmt: skip
_CONDITION = _object(
    "NamespaceCondition", status=STRING, type=STRING, lastTransitionTime=TIMESTAMP,
    message=STRING, reason=STRING,
)  # fmt: skip
NAMESPACE = _object(
    "Namespace",
    metadata=_object(
        "NamespaceMetadata", name=STRING, generateName=STRING, namespace=STRING, labels=_LABELS,
        annotations=_LABELS, UID=STRING, creationTimestamp=TIMESTAMP,
        deletionGracePeriodSeconds=INT, deletionTimestamp=TIMESTAMP, generation=INT,
        resourceVersion=STRING, finalizers=_TEXTS,
    ),
    spec=_object("NamespaceSpec", finalizers=_TEXTS),
    status=_object("NamespaceStatus", conditions=types.list_of(_CONDITION), phase=STRING),
)  # fmt: skip
