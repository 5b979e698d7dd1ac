"""The controllers, in the order in which they start: one line each."""

from __future__ import annotations

from collections.abc import Callable

from sampan.controllers.certificates import approving, cleaning, signing
from sampan.controllers.clusterroleaggregation import clusterroleaggregation
from sampan.controllers.cronjob import cronjob
from sampan.controllers.daemonset import daemonset
from sampan.controllers.deployment import deployment
from sampan.controllers.deps import Deps
from sampan.controllers.disruption import disruption
from sampan.controllers.endpoints import endpoints
from sampan.controllers.endpointslice import endpointslice
from sampan.controllers.endpointslicemirroring import endpointslicemirroring
from sampan.controllers.ephemeralvolume import ephemeralvolume
from sampan.controllers.garbagecollector import garbagecollector
from sampan.controllers.horizontalpodautoscaling import horizontalpodautoscaling
from sampan.controllers.job import job
from sampan.controllers.namespace import namespace
from sampan.controllers.nodeipam import nodeipam
from sampan.controllers.nodelifecycle import nodelifecycle
from sampan.controllers.persistentvolume import persistentvolumebinder
from sampan.controllers.podgc import podgc
from sampan.controllers.replicaset import replicaset, replicationcontroller
from sampan.controllers.resourcequota import resourcequota
from sampan.controllers.serviceaccount import rootca, serviceaccount
from sampan.controllers.servicecidr import servicecidr
from sampan.controllers.statefulset import statefulset
from sampan.controllers.tainteviction import tainteviction
from sampan.controllers.token import token
from sampan.controllers.ttlafterfinished import ttlafterfinished
from sampan.controllers.validatingadmissionpolicystatus import validatingadmissionpolicystatus
from sampan.controllers.volumeprotection import pvcprotection, pvprotection
from sampan.loop.component import Component

CONTROLLERS: dict[str, Callable[[Deps], Component]] = {
    # First to hear of a pod: traffic waits for slices, everything else can wait for them.
    "endpointslice": endpointslice,
    "serviceaccount": serviceaccount,
    "root-ca-certificate-publisher": rootca,
    "serviceaccount-token": token,
    "namespace": namespace,
    "nodeipam": nodeipam,
    "nodelifecycle": nodelifecycle,
    "taint-eviction-controller": tainteviction,
    "replicaset": replicaset,
    "replicationcontroller": replicationcontroller,
    "deployment": deployment,
    "daemonset": daemonset,
    "statefulset": statefulset,
    "job": job,
    "cronjob": cronjob,
    "ttl-after-finished": ttlafterfinished,
    "disruption": disruption,
    "horizontalpodautoscaling": horizontalpodautoscaling,
    "resourcequota": resourcequota,
    "certificatesigningrequest-approving": approving,
    "certificatesigningrequest-signing": signing,
    "certificatesigningrequest-cleaner": cleaning,
    "endpoints": endpoints,
    "endpointslicemirroring": endpointslicemirroring,
    "garbagecollector": garbagecollector,
    "podgc": podgc,
    "persistentvolume-binder": persistentvolumebinder,
    "persistentvolumeclaim-protection": pvcprotection,
    "persistentvolume-protection": pvprotection,
    "ephemeral-volume-controller": ephemeralvolume,
    "clusterrole-aggregation": clusterroleaggregation,
    "service-cidr-controller": servicecidr,
    "validatingadmissionpolicy-status-controller": validatingadmissionpolicystatus,
}

OFF_BY_DEFAULT: frozenset[str] = frozenset()
