"""Short descriptions for the documents, in words of our own: `kubectl explain` shows them."""

from __future__ import annotations

import re

from sampan.api import schema

KINDS: dict[str, str] = {
    "Pod": "One or more containers that run together on a node and share a network.",
    "PodTemplateSpec": "The pods that a workload makes: their labels and their specification.",
    "Container": "A program to run inside a pod, from an image.",
    "Service": "A stable name and address in front of the pods that a selector finds.",
    "ServicePort": "A port of a Service and where it leads.",
    "Endpoints": "The addresses behind a Service, in one object. EndpointSlices are newer.",
    "EndpointSlice": "Some of the addresses behind a Service, with what is known about each.",
    "Node": "A machine on which pods run.",
    "Namespace": "A scope for names: most kinds live in one.",
    "ConfigMap": "Configuration that pods read as files or environment variables.",
    "Secret": "Configuration that is to be kept from eyes: passwords, tokens, keys.",
    "ServiceAccount": "Who a pod is when it talks to the API server.",
    "Event": "Something that happened to an object, told by a component.",
    "PersistentVolume": "A piece of storage in the cluster.",
    "PersistentVolumeClaim": "A wish for storage, bound to a PersistentVolume.",
    "ReplicationController": "Keeps a number of equal pods; ReplicaSet is newer.",
    "ResourceQuota": "How much a namespace may use in all.",
    "LimitRange": "How much a single pod or container of a namespace may use, and defaults.",
    "Deployment": "Keeps a number of equal pods and changes them step by step.",
    "ReplicaSet": "Keeps a number of equal pods; a Deployment makes them.",
    "StatefulSet": "Keeps pods with names and storage of their own, in order.",
    "DaemonSet": "Keeps one pod on every node that fits.",
    "ControllerRevision": "A former state of a StatefulSet or DaemonSet.",
    "Job": "Runs pods until enough of them have succeeded.",
    "CronJob": "Makes Jobs by the clock.",
    "HorizontalPodAutoscaler": "Changes the size of a workload by its load.",
    "Scale": "The size of a workload, as wished for and as it is.",
    "Ingress": "Leads HTTP requests to Services by host and path.",
    "IngressClass": "Which controller serves Ingresses of this class.",
    "NetworkPolicy": "Which traffic the chosen pods accept and may send.",
    "ServiceCIDR": "A range from which Services get their addresses.",
    "IPAddress": "An address that an object, mostly a Service, holds.",
    "PodDisruptionBudget": "How many of the chosen pods may be missing at a time.",
    "Eviction": "A polite wish that a pod go away, subject to the disruption budgets.",
    "Role": "Rights within a namespace.",
    "ClusterRole": "Rights in the whole cluster, or to hand out within namespaces.",
    "RoleBinding": "Gives a role's rights within a namespace to subjects.",
    "ClusterRoleBinding": "Gives a ClusterRole's rights everywhere to subjects.",
    "Lease": "A lock with a holder and a time: heartbeats and elections.",
    "StorageClass": "A kind of storage that can be claimed.",
    "PriorityClass": "A name for how important pods are.",
    "RuntimeClass": "A way of running containers.",
    "CustomResourceDefinition": "Adds a kind of your own to the API.",
    "CertificateSigningRequest": "A wish that a signer sign a certificate.",
    "TokenRequest": "A wish for a token of a ServiceAccount.",
    "TokenReview": "Asks whose a token is.",
    "SubjectAccessReview": "Asks whether somebody may do something.",
    "ObjectMeta": "What every object has: name, namespace, labels and what the server notes.",
    "LabelSelector": "Chooses objects by their labels; all conditions must hold.",
    "Probe": "How the health of a container is found out.",
    "Condition": "One aspect of an object's state, with the reason and since when.",
    "Status": "The answer to a request that returns no object.",
    "DeleteOptions": "How an object is to be deleted.",
    "Time": "A moment, as RFC 3339 writes it.",
    "MicroTime": "A moment to the microsecond.",
    "Quantity": "An amount with a suffix: 500m, 1.5Gi, 10k.",
    "IntOrString": "A number or a text, such as a port or its name.",
    "RawExtension": "An object of any kind.",
    "Patch": "A change to an object.",
}

FIELDS: dict[str, str] = {
    "apiVersion": "The group and version of this form of the object.",
    "kind": "What kind of object this is.",
    "metadata": "Name, labels and the like.",
    "spec": "What is wished for.",
    "status": "What the cluster last saw; it is written by the system.",
    "items": "The objects of the list.",
    "name": "The name, unique where it stands.",
    "namespace": "The namespace that the name belongs to.",
    "labels": "Words to choose objects by.",
    "annotations": "Notes that nobody chooses by.",
    "uid": "Identifies the object in time and space; the server gives it.",
    "resourceVersion": "Changes with every write; says which state this is.",
    "generation": "Counts the changes of what is wished for.",
    "creationTimestamp": "When the object was created.",
    "deletionTimestamp": "When the object is to be gone; set once it is deleted.",
    "deletionGracePeriodSeconds": "How long the object has to end.",
    "finalizers": "Who must still do something before the object may go.",
    "ownerReferences": "Objects without which this one is deleted too.",
    "managedFields": "Who set which fields.",
    "generateName": "A prefix to which the server adds five characters.",
    "selfLink": "No longer set.",
    "selector": "Which pods belong to it.",
    "template": "The pods to make.",
    "replicas": "How many pods there are to be.",
    "containers": "The programs of the pod.",
    "initContainers": "Programs that run to their end, one by one, before the others.",
    "ephemeralContainers": "Programs added to a running pod to look into it.",
    "volumes": "Files that the containers can mount.",
    "volumeMounts": "Where volumes appear in the container.",
    "image": "The image to run.",
    "imagePullPolicy": "When the image is fetched anew: Always, IfNotPresent or Never.",
    "command": "The program, instead of the image's own.",
    "args": "The arguments of the program.",
    "workingDir": "The folder in which the program starts.",
    "env": "Environment variables.",
    "envFrom": "Objects whose entries become environment variables.",
    "ports": "The ports.",
    "port": "The port.",
    "targetPort": "The port of the pod, by number or name.",
    "nodePort": "The port on every node.",
    "containerPort": "The port inside the pod.",
    "hostPort": "The port on the node.",
    "protocol": "TCP, UDP or SCTP.",
    "clusterIP": "The Service's address; None for none.",
    "clusterIPs": "The Service's addresses, one per IP family.",
    "type": "Which sort it is.",
    "externalName": "The name that DNS answers with.",
    "externalIPs": "Further addresses that lead to the Service.",
    "sessionAffinity": "Whether a client keeps its endpoint: ClientIP or None.",
    "externalTrafficPolicy": "Whether traffic from outside stays on its node.",
    "internalTrafficPolicy": "Whether traffic from inside stays on its node.",
    "loadBalancer": "The state of the load balancer.",
    "restartPolicy": "What happens when a container ends: Always, OnFailure or Never.",
    "terminationGracePeriodSeconds": "How long the pod has to end.",
    "activeDeadlineSeconds": "How long it may run.",
    "dnsPolicy": "Where the pod's names are looked up.",
    "nodeName": "The node that the pod runs on.",
    "nodeSelector": "Labels that the node must have.",
    "serviceAccountName": "Who the pod is at the API server.",
    "hostNetwork": "Whether the pod uses the node's own network.",
    "securityContext": "User, groups, capabilities and the like.",
    "imagePullSecrets": "Secrets for fetching images.",
    "affinity": "Which nodes and neighbours the pod wants or shuns.",
    "tolerations": "Which taints of nodes the pod puts up with.",
    "schedulerName": "Which scheduler places the pod.",
    "priorityClassName": "How important the pod is, by name.",
    "resources": "How much the container needs and may use.",
    "limits": "The most that may be used.",
    "requests": "What is set aside.",
    "livenessProbe": "When it fails, the container is started again.",
    "readinessProbe": "While it fails, Services send nothing here.",
    "startupProbe": "Until it succeeds, the other probes wait.",
    "lifecycle": "What to do after the start and before the end.",
    "stdin": "Whether there is a standard input.",
    "tty": "Whether there is a terminal.",
    "data": "The entries.",
    "binaryData": "Entries in base64.",
    "stringData": "Entries as plain text; they are written into data.",
    "immutable": "Whether the entries may never change.",
    "rules": "The rules, in order.",
    "subjects": "Who gets the rights.",
    "roleRef": "The role whose rights are given.",
    "verbs": "What may be done.",
    "conditions": "Aspects of the state, with reasons.",
    "message": "What happened, for people.",
    "reason": "What happened, in one word for programs.",
    "observedGeneration": "The generation that the status speaks of.",
    "strategy": "How pods are changed to new ones.",
    "minReadySeconds": "How long a pod must be ready to count as available.",
    "revisionHistoryLimit": "How many former states are kept.",
    "paused": "Whether changes wait.",
    "schedule": "When, in the manner of cron.",
    "completions": "How many pods must succeed.",
    "parallelism": "How many pods may run at a time.",
    "backoffLimit": "How many failures are put up with.",
    "suspend": "Whether it stands still.",
    "endpoints": "The addresses, with what is known about each.",
    "addresses": "The addresses.",
    "taints": "What keeps pods away that do not tolerate it.",
    "unschedulable": "Whether new pods stay away.",
    "podCIDR": "The range of the node's pods.",
}


def about(name: str) -> str:
    """A sentence on a struct."""
    short = name.rsplit(".", 1)[-1]
    if short in KINDS:
        return KINDS[short]
    for ending, words in (("List", "A list of"), ("Spec", "What is wished of"),
                          ("Status", "The last seen state of")):  # fmt: skip
        stem = short.removesuffix(ending)
        if stem and stem != short:
            return f"{words} {_article(stem, ending)}."
    return f"{_spaced(short)}."


def about_field(struct_name: str, field: str) -> str:
    """A sentence on a field."""
    known = FIELDS.get(field)
    if known is not None:
        return known
    kind = schema.struct(struct_name).fields[field].type
    while kind.item is not None:
        kind = kind.item
    if kind.kind == "struct" and kind.struct.go in KINDS:
        return KINDS[kind.struct.go]
    return f"{_spaced(field[:1].upper() + field[1:])}."


def _article(stem: str, ending: str) -> str:
    if ending == "List":
        return stem
    return f"an {stem}" if stem[0] in "AEIOU" else f"a {stem}"


def _spaced(name: str) -> str:
    """`PodAntiAffinity` as `Pod anti affinity`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)
    lowered = [word if word.isupper() and len(word) > 1 else word.lower() for word in words]
    text = " ".join(lowered)
    return text[:1].upper() + text[1:]
