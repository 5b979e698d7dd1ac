"""Every resource of the 1.36 API by name: `kinds.PODS`, `kinds.ENDPOINTSLICES`.

A constant is named by the plural in capitals. Where two served versions share it, the bare name
is the preferred one (`EVENTS` is core, `HORIZONTALPODAUTOSCALERS` is v2) and the other carries its
version. Bodies that are no collections of their own (Scale, Eviction) stand before the end. A test
holds this file against the tables.
"""

from __future__ import annotations

from sampan.api.meta import ResourceId

# core
BINDINGS = ResourceId("", "v1", "bindings", "Binding")
COMPONENTSTATUSES = ResourceId("", "v1", "componentstatuses", "ComponentStatus", namespaced=False)
CONFIGMAPS = ResourceId("", "v1", "configmaps", "ConfigMap")
ENDPOINTS = ResourceId("", "v1", "endpoints", "Endpoints")
EVENTS = ResourceId("", "v1", "events", "Event")
LIMITRANGES = ResourceId("", "v1", "limitranges", "LimitRange")
NAMESPACES = ResourceId("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = ResourceId("", "v1", "nodes", "Node", namespaced=False)
PERSISTENTVOLUMECLAIMS = ResourceId("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PERSISTENTVOLUMES = ResourceId("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
PODS = ResourceId("", "v1", "pods", "Pod")
PODTEMPLATES = ResourceId("", "v1", "podtemplates", "PodTemplate")
REPLICATIONCONTROLLERS = ResourceId("", "v1", "replicationcontrollers", "ReplicationController")
RESOURCEQUOTAS = ResourceId("", "v1", "resourcequotas", "ResourceQuota")
SECRETS = ResourceId("", "v1", "secrets", "Secret")
SERVICEACCOUNTS = ResourceId("", "v1", "serviceaccounts", "ServiceAccount")
SERVICES = ResourceId("", "v1", "services", "Service")

# apps
CONTROLLERREVISIONS = ResourceId("apps", "v1", "controllerrevisions", "ControllerRevision")
DAEMONSETS = ResourceId("apps", "v1", "daemonsets", "DaemonSet")
DEPLOYMENTS = ResourceId("apps", "v1", "deployments", "Deployment")
REPLICASETS = ResourceId("apps", "v1", "replicasets", "ReplicaSet")
STATEFULSETS = ResourceId("apps", "v1", "statefulsets", "StatefulSet")

# batch
CRONJOBS = ResourceId("batch", "v1", "cronjobs", "CronJob")
JOBS = ResourceId("batch", "v1", "jobs", "Job")

# autoscaling
HORIZONTALPODAUTOSCALERS = ResourceId(
    "autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"
)
HORIZONTALPODAUTOSCALERS_V1 = ResourceId(
    "autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler"
)

# policy
PODDISRUPTIONBUDGETS = ResourceId("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")

# networking.k8s.io
INGRESSCLASSES = ResourceId(
    "networking.k8s.io", "v1", "ingressclasses", "IngressClass", namespaced=False
)
INGRESSES = ResourceId("networking.k8s.io", "v1", "ingresses", "Ingress")
IPADDRESSES = ResourceId("networking.k8s.io", "v1", "ipaddresses", "IPAddress", namespaced=False)
NETWORKPOLICIES = ResourceId("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
SERVICECIDRS = ResourceId(
    "networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", namespaced=False
)

# discovery.k8s.io
ENDPOINTSLICES = ResourceId("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")

# coordination.k8s.io
LEASES = ResourceId("coordination.k8s.io", "v1", "leases", "Lease")

# events.k8s.io
EVENTS_V1 = ResourceId("events.k8s.io", "v1", "events", "Event")

# rbac.authorization.k8s.io
CLUSTERROLEBINDINGS = ResourceId(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
CLUSTERROLES = ResourceId(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False
)
ROLEBINDINGS = ResourceId("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
ROLES = ResourceId("rbac.authorization.k8s.io", "v1", "roles", "Role")

# authentication.k8s.io
SELFSUBJECTREVIEWS = ResourceId(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False
)
TOKENREVIEWS = ResourceId(
    "authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False
)

# authorization.k8s.io
LOCALSUBJECTACCESSREVIEWS = ResourceId(
    "authorization.k8s.io", "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview"
)
SELFSUBJECTACCESSREVIEWS = ResourceId(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
)
SELFSUBJECTRULESREVIEWS = ResourceId(
    "authorization.k8s.io",
    "v1",
    "selfsubjectrulesreviews",
    "SelfSubjectRulesReview",
    namespaced=False,
)
SUBJECTACCESSREVIEWS = ResourceId(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)

# certificates.k8s.io
CERTIFICATESIGNINGREQUESTS = ResourceId(
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    "CertificateSigningRequest",
    namespaced=False,
)

# admissionregistration.k8s.io
MUTATINGADMISSIONPOLICIES = ResourceId(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingadmissionpolicies",
    "MutatingAdmissionPolicy",
    namespaced=False,
)
MUTATINGADMISSIONPOLICYBINDINGS = ResourceId(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingadmissionpolicybindings",
    "MutatingAdmissionPolicyBinding",
    namespaced=False,
)
MUTATINGWEBHOOKCONFIGURATIONS = ResourceId(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
VALIDATINGADMISSIONPOLICIES = ResourceId(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicies",
    "ValidatingAdmissionPolicy",
    namespaced=False,
)
VALIDATINGADMISSIONPOLICYBINDINGS = ResourceId(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)
VALIDATINGWEBHOOKCONFIGURATIONS = ResourceId(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)

# apiextensions.k8s.io
CUSTOMRESOURCEDEFINITIONS = ResourceId(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
)

# apiregistration.k8s.io
APISERVICES = ResourceId(
    "apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False
)

# storage.k8s.io
CSIDRIVERS = ResourceId("storage.k8s.io", "v1", "csidrivers", "CSIDriver", namespaced=False)
CSINODES = ResourceId("storage.k8s.io", "v1", "csinodes", "CSINode", namespaced=False)
CSISTORAGECAPACITIES = ResourceId(
    "storage.k8s.io", "v1", "csistoragecapacities", "CSIStorageCapacity"
)
STORAGECLASSES = ResourceId(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False
)
VOLUMEATTACHMENTS = ResourceId(
    "storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", namespaced=False
)
VOLUMEATTRIBUTESCLASSES = ResourceId(
    "storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", namespaced=False
)

# scheduling.k8s.io
PRIORITYCLASSES = ResourceId(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False
)

# node.k8s.io
RUNTIMECLASSES = ResourceId("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", namespaced=False)

# resource.k8s.io
DEVICECLASSES = ResourceId(
    "resource.k8s.io", "v1", "deviceclasses", "DeviceClass", namespaced=False
)
RESOURCECLAIMS = ResourceId("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim")
RESOURCECLAIMTEMPLATES = ResourceId(
    "resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate"
)
RESOURCESLICES = ResourceId(
    "resource.k8s.io", "v1", "resourceslices", "ResourceSlice", namespaced=False
)

# flowcontrol.apiserver.k8s.io
FLOWSCHEMAS = ResourceId(
    "flowcontrol.apiserver.k8s.io", "v1", "flowschemas", "FlowSchema", namespaced=False
)
PRIORITYLEVELCONFIGURATIONS = ResourceId(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "prioritylevelconfigurations",
    "PriorityLevelConfiguration",
    namespaced=False,
)

# bodies of subresources and options: no collection of their own
SCALES = ResourceId("autoscaling", "v1", "scales", "Scale")
EVICTIONS = ResourceId("policy", "v1", "evictions", "Eviction")
TOKENREQUESTS = ResourceId("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
DELETEOPTIONS = ResourceId("", "v1", "deleteoptions", "DeleteOptions")

ALL: tuple[ResourceId, ...] = (
    BINDINGS,
    COMPONENTSTATUSES,
    CONFIGMAPS,
    ENDPOINTS,
    EVENTS,
    LIMITRANGES,
    NAMESPACES,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    PODTEMPLATES,
    REPLICATIONCONTROLLERS,
    RESOURCEQUOTAS,
    SECRETS,
    SERVICEACCOUNTS,
    SERVICES,
    CONTROLLERREVISIONS,
    DAEMONSETS,
    DEPLOYMENTS,
    REPLICASETS,
    STATEFULSETS,
    CRONJOBS,
    JOBS,
    HORIZONTALPODAUTOSCALERS,
    HORIZONTALPODAUTOSCALERS_V1,
    PODDISRUPTIONBUDGETS,
    INGRESSCLASSES,
    INGRESSES,
    IPADDRESSES,
    NETWORKPOLICIES,
    SERVICECIDRS,
    ENDPOINTSLICES,
    LEASES,
    EVENTS_V1,
    CLUSTERROLEBINDINGS,
    CLUSTERROLES,
    ROLEBINDINGS,
    ROLES,
    SELFSUBJECTREVIEWS,
    TOKENREVIEWS,
    LOCALSUBJECTACCESSREVIEWS,
    SELFSUBJECTACCESSREVIEWS,
    SELFSUBJECTRULESREVIEWS,
    SUBJECTACCESSREVIEWS,
    CERTIFICATESIGNINGREQUESTS,
    MUTATINGADMISSIONPOLICIES,
    MUTATINGADMISSIONPOLICYBINDINGS,
    MUTATINGWEBHOOKCONFIGURATIONS,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
    CUSTOMRESOURCEDEFINITIONS,
    APISERVICES,
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    STORAGECLASSES,
    VOLUMEATTACHMENTS,
    VOLUMEATTRIBUTESCLASSES,
    PRIORITYCLASSES,
    RUNTIMECLASSES,
    DEVICECLASSES,
    RESOURCECLAIMS,
    RESOURCECLAIMTEMPLATES,
    RESOURCESLICES,
    FLOWSCHEMAS,
    PRIORITYLEVELCONFIGURATIONS,
)
"""Every resource with a collection, group by group."""
