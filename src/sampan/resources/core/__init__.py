"""The kinds of the core group, v1: one file (or folder) for each."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.core.binding import BINDING
from sampan.resources.core.componentstatus import COMPONENTSTATUS
from sampan.resources.core.configmap import CONFIGMAP
from sampan.resources.core.endpoints import ENDPOINTS
from sampan.resources.core.event import EVENT
from sampan.resources.core.limitrange import LIMITRANGE
from sampan.resources.core.namespace import NAMESPACE
from sampan.resources.core.node import NODE
from sampan.resources.core.persistentvolume import PERSISTENTVOLUME
from sampan.resources.core.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from sampan.resources.core.pod.resource import POD
from sampan.resources.core.podtemplate import PODTEMPLATE
from sampan.resources.core.replicationcontroller import REPLICATIONCONTROLLER
from sampan.resources.core.resourcequota import RESOURCEQUOTA
from sampan.resources.core.secret import SECRET
from sampan.resources.core.service import SERVICE
from sampan.resources.core.serviceaccount import SERVICEACCOUNT

RESOURCES: tuple[Resource, ...] = (
    BINDING, COMPONENTSTATUS, CONFIGMAP, ENDPOINTS, EVENT, LIMITRANGE, NAMESPACE, NODE,
    PERSISTENTVOLUMECLAIM, PERSISTENTVOLUME, POD, PODTEMPLATE, REPLICATIONCONTROLLER,
    RESOURCEQUOTA, SECRET, SERVICEACCOUNT, SERVICE,
)  # fmt: skip
