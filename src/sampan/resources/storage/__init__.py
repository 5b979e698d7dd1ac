"""storage.k8s.io/v1: how volumes come to be and to nodes."""

from __future__ import annotations

from sampan.api.resource import Resource
from sampan.resources.storage.csidriver import CSIDRIVER
from sampan.resources.storage.csinode import CSINODE
from sampan.resources.storage.csistoragecapacity import CSISTORAGECAPACITY
from sampan.resources.storage.storageclass import STORAGECLASS
from sampan.resources.storage.volumeattachment import VOLUMEATTACHMENT
from sampan.resources.storage.volumeattributesclass import VOLUMEATTRIBUTESCLASS

RESOURCES: tuple[Resource, ...] = (
    CSIDRIVER, CSINODE, CSISTORAGECAPACITY, STORAGECLASS, VOLUMEATTACHMENT, VOLUMEATTRIBUTESCLASS,
)  # fmt: skip
