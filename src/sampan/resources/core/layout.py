"""In which order upstream prints the fields of a spec where it shows what changed in one.

Types, and which fields may be unset, are the schema's; only the order, and the few places where
the form that upstream compares differs from the API's, are here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from sampan.api import schema
from sampan.api.meta import Json

_CONTAINER = (
    "Name Image Command Args WorkingDir Ports EnvFrom Env Resources ResizePolicy RestartPolicy "
    "RestartPolicyRules VolumeMounts VolumeDevices LivenessProbe ReadinessProbe StartupProbe "
    "Lifecycle TerminationMessagePath TerminationMessagePolicy ImagePullPolicy SecurityContext "
    "Stdin StdinOnce TTY"
)
_REQUIRED = "RequiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "PreferredDuringSchedulingIgnoredDuringExecution"
_DISK = "VolumeID FSType ReadOnly SecretRef"
_ISCSI = (
    "TargetPortal IQN Lun ISCSIInterface FSType ReadOnly Portals DiscoveryCHAPAuth "
    "SessionCHAPAuth SecretRef InitiatorName"
)
_RBD = "CephMonitors RBDImage FSType RBDPool RadosUser Keyring SecretRef ReadOnly"
_CEPHFS = "Monitors Path User SecretFile SecretRef ReadOnly"
_SCALE_IO = (
    "Gateway System SecretRef SSLEnabled ProtectionDomain StoragePool StorageMode VolumeName "
    "FSType ReadOnly"
)
_FLEX = "Driver FSType SecretRef ReadOnly Options"
_STORAGE_OS = "VolumeName VolumeNamespace FSType ReadOnly SecretRef"

ORDER: Mapping[str, str] = {
    "PodSpec": "Volumes InitContainers Containers EphemeralContainers RestartPolicy "
    "TerminationGracePeriodSeconds ActiveDeadlineSeconds DNSPolicy NodeSelector "
    "ServiceAccountName AutomountServiceAccountToken NodeName SecurityContext ImagePullSecrets "
    "Hostname Subdomain SetHostnameAsFQDN Affinity SchedulerName Tolerations HostAliases "
    "PriorityClassName Priority PreemptionPolicy DNSConfig ReadinessGates RuntimeClassName "
    "Overhead EnableServiceLinks TopologySpreadConstraints OS SchedulingGates ResourceClaims "
    "Resources HostnameOverride SchedulingGroup",
    "PodSecurityContext": "HostNetwork HostPID HostIPC ShareProcessNamespace HostUsers "
    "SELinuxOptions WindowsOptions RunAsUser RunAsGroup RunAsNonRoot SupplementalGroups "
    "SupplementalGroupsPolicy FSGroup FSGroupChangePolicy Sysctls SeccompProfile "
    "AppArmorProfile SELinuxChangePolicy",
    "Container": _CONTAINER,
    "EphemeralContainer": f"{_CONTAINER} TargetContainerName",
    "ContainerPort": "Name HostPort ContainerPort Protocol HostIP",
    "EnvFromSource": "Prefix ConfigMapRef SecretRef",
    "ConfigMapEnvSource": "Name Optional",
    "SecretEnvSource": "Name Optional",
    "EnvVar": "Name Value ValueFrom",
    "EnvVarSource": "FieldRef ResourceFieldRef ConfigMapKeyRef SecretKeyRef FileKeyRef",
    "ObjectFieldSelector": "APIVersion FieldPath",
    "ResourceFieldSelector": "ContainerName Resource Divisor",
    "ConfigMapKeySelector": "Name Key Optional",
    "SecretKeySelector": "Name Key Optional",
    "FileKeySelector": "VolumeName Path Key Optional",
    "ResourceRequirements": "Limits Requests Claims",
    "VolumeResourceRequirements": "Limits Requests",
    "ResourceClaim": "Name Request",
    "ContainerResizePolicy": "ResourceName RestartPolicy",
    "ContainerRestartRule": "Action ExitCodes",
    "ContainerRestartRuleOnExitCodes": "Operator Values",
    "VolumeMount": "Name ReadOnly RecursiveReadOnly MountPath SubPath MountPropagation SubPathExpr",
    "VolumeDevice": "Name DevicePath",
    "Probe": "Exec HTTPGet TCPSocket GRPC InitialDelaySeconds TimeoutSeconds PeriodSeconds "
    "SuccessThreshold FailureThreshold TerminationGracePeriodSeconds",
    "Lifecycle": "PostStart PreStop StopSignal",
    "LifecycleHandler": "Exec HTTPGet TCPSocket Sleep",
    "ExecAction": "Command",
    "HTTPGetAction": "Path Port Host Scheme HTTPHeaders",
    "HTTPHeader": "Name Value",
    "TCPSocketAction": "Port Host",
    "GRPCAction": "Port Service",
    "SleepAction": "Seconds",
    "SecurityContext": "Capabilities Privileged SELinuxOptions WindowsOptions RunAsUser "
    "RunAsGroup RunAsNonRoot ReadOnlyRootFilesystem AllowPrivilegeEscalation ProcMount "
    "SeccompProfile AppArmorProfile",
    "Capabilities": "Add Drop",
    "SELinuxOptions": "User Role Type Level",
    "WindowsSecurityContextOptions": "GMSACredentialSpecName GMSACredentialSpec RunAsUserName "
    "HostProcess",
    "SeccompProfile": "Type LocalhostProfile",
    "AppArmorProfile": "Type LocalhostProfile",
    "Sysctl": "Name Value",
    "Affinity": "NodeAffinity PodAffinity PodAntiAffinity",
    "NodeAffinity": f"{_REQUIRED} {_PREFERRED}",
    "PodAffinity": f"{_REQUIRED} {_PREFERRED}",
    "PodAntiAffinity": f"{_REQUIRED} {_PREFERRED}",
    "NodeSelector": "NodeSelectorTerms",
    "NodeSelectorTerm": "MatchExpressions MatchFields",
    "NodeSelectorRequirement": "Key Operator Values",
    "PreferredSchedulingTerm": "Weight Preference",
    "WeightedPodAffinityTerm": "Weight PodAffinityTerm",
    "PodAffinityTerm": "LabelSelector Namespaces TopologyKey NamespaceSelector MatchLabelKeys "
    "MismatchLabelKeys",
    "Toleration": "Key Operator Value Effect TolerationSeconds",
    "HostAlias": "IP Hostnames",
    "PodDNSConfig": "Nameservers Searches Options",
    "PodDNSConfigOption": "Name Value",
    "PodReadinessGate": "ConditionType",
    "TopologySpreadConstraint": "MaxSkew TopologyKey WhenUnsatisfiable LabelSelector MinDomains "
    "NodeAffinityPolicy NodeTaintsPolicy MatchLabelKeys",
    "PodOS": "Name",
    "PodSchedulingGate": "Name",
    "PodResourceClaim": "Name ResourceClaimName ResourceClaimTemplateName",
    "PodSchedulingGroup": "PodGroupName",
    "LocalObjectReference": "Name",
    "SecretReference": "Name Namespace",
    "ObjectReference": "Kind Namespace Name UID APIVersion ResourceVersion FieldPath",
    "Volume": "Name HostPath EmptyDir GCEPersistentDisk AWSElasticBlockStore GitRepo Secret NFS "
    "ISCSI Glusterfs PersistentVolumeClaim RBD Quobyte FlexVolume Cinder CephFS Flocker "
    "DownwardAPI FC AzureFile ConfigMap VsphereVolume AzureDisk PhotonPersistentDisk Projected "
    "PortworxVolume ScaleIO StorageOS CSI Ephemeral Image",
    "PersistentVolumeSpec": "GCEPersistentDisk AWSElasticBlockStore HostPath Glusterfs NFS RBD "
    "Quobyte ISCSI FlexVolume Cinder CephFS FC Flocker AzureFile VsphereVolume AzureDisk "
    "PhotonPersistentDisk PortworxVolume ScaleIO Local StorageOS CSI",
    "PersistentVolumeClaimSpec": "AccessModes Selector Resources VolumeName StorageClassName "
    "VolumeMode DataSource DataSourceRef VolumeAttributesClassName",
    "TypedLocalObjectReference": "APIGroup Kind Name",
    "TypedObjectReference": "APIGroup Kind Name Namespace",
    "HostPathVolumeSource": "Path Type",
    "EmptyDirVolumeSource": "Medium SizeLimit",
    "GCEPersistentDiskVolumeSource": "PDName FSType Partition ReadOnly",
    "AWSElasticBlockStoreVolumeSource": "VolumeID FSType Partition ReadOnly",
    "GitRepoVolumeSource": "Repository Revision Directory",
    "SecretVolumeSource": "SecretName Items DefaultMode Optional",
    "KeyToPath": "Key Path Mode",
    "NFSVolumeSource": "Server Path ReadOnly",
    "ISCSIVolumeSource": _ISCSI,
    "ISCSIPersistentVolumeSource": _ISCSI,
    "GlusterfsVolumeSource": "EndpointsName Path ReadOnly",
    "GlusterfsPersistentVolumeSource": "EndpointsName Path ReadOnly EndpointsNamespace",
    "PersistentVolumeClaimVolumeSource": "ClaimName ReadOnly",
    "RBDVolumeSource": _RBD,
    "RBDPersistentVolumeSource": _RBD,
    "QuobyteVolumeSource": "Registry Volume ReadOnly User Group Tenant",
    "FlexVolumeSource": _FLEX,
    "FlexPersistentVolumeSource": _FLEX,
    "CinderVolumeSource": _DISK,
    "CinderPersistentVolumeSource": _DISK,
    "CephFSVolumeSource": _CEPHFS,
    "CephFSPersistentVolumeSource": _CEPHFS,
    "FlockerVolumeSource": "DatasetName DatasetUUID",
    "DownwardAPIVolumeSource": "Items DefaultMode",
    "DownwardAPIVolumeFile": "Path FieldRef ResourceFieldRef Mode",
    "FCVolumeSource": "TargetWWNs Lun FSType ReadOnly WWIDs",
    "AzureFileVolumeSource": "SecretName ShareName ReadOnly",
    "AzureFilePersistentVolumeSource": "SecretName ShareName ReadOnly SecretNamespace",
    "ConfigMapVolumeSource": "Name Items DefaultMode Optional",
    "VsphereVirtualDiskVolumeSource": "VolumePath FSType StoragePolicyName StoragePolicyID",
    "AzureDiskVolumeSource": "DiskName DataDiskURI CachingMode FSType ReadOnly Kind",
    "PhotonPersistentDiskVolumeSource": "PdID FSType",
    "ProjectedVolumeSource": "Sources DefaultMode",
    "VolumeProjection": "Secret DownwardAPI ConfigMap ServiceAccountToken ClusterTrustBundle "
    "PodCertificate",
    "SecretProjection": "Name Items Optional",
    "ConfigMapProjection": "Name Items Optional",
    "DownwardAPIProjection": "Items",
    "ServiceAccountTokenProjection": "Audience ExpirationSeconds Path",
    "ClusterTrustBundleProjection": "Name SignerName LabelSelector Optional Path",
    "PodCertificateProjection": "SignerName KeyType MaxExpirationSeconds CredentialBundlePath "
    "KeyPath CertificateChainPath UserAnnotations",
    "PortworxVolumeSource": "VolumeID FSType ReadOnly",
    "ScaleIOVolumeSource": _SCALE_IO,
    "ScaleIOPersistentVolumeSource": _SCALE_IO,
    "LocalVolumeSource": "Path FSType",
    "StorageOSVolumeSource": _STORAGE_OS,
    "StorageOSPersistentVolumeSource": _STORAGE_OS,
    "CSIVolumeSource": "Driver ReadOnly FSType VolumeAttributes NodePublishSecretRef",
    "CSIPersistentVolumeSource": "Driver VolumeHandle ReadOnly FSType VolumeAttributes "
    "ControllerPublishSecretRef NodeStageSecretRef NodePublishSecretRef "
    "ControllerExpandSecretRef NodeExpandSecretRef",
    "EphemeralVolumeSource": "VolumeClaimTemplate",
    "ImageVolumeSource": "Reference PullPolicy",
}
"""Structs that are not here are printed as the API has them."""

HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
"""What a pod's spec has and its security context is compared with."""

_NAMED = {
    "StorageOS": "storageos", "CephFS": "cephfs", "WWIDs": "wwids", "EndpointsName": "endpoints",
    "DiscoveryCHAPAuth": "chapAuthDiscovery", "SessionCHAPAuth": "chapAuthSession",
    "CephMonitors": "monitors", "RBDImage": "image", "RBDPool": "pool", "RadosUser": "user",
    "DataDiskURI": "diskURI",
}  # fmt: skip
_CAPITALS = re.compile(r"[A-Z]+(?=[A-Z]|$)|[A-Z]")


def printed(value: Any, name: str) -> Any:
    """The struct `name` of core/v1 as upstream prints it, every field in its place."""
    if name == "PodSpec":
        host = {field: value[field] for field in HOST_FIELDS if field in value}
        value = {**value, "securityContext": {**(value.get("securityContext") or {}), **host}}
    return {field: _value(value.get(key), key, name) for field, key in fields(name)}


@cache
def fields(name: str) -> tuple[tuple[str, str], ...]:
    """What is printed for a struct: (name upstream prints, name in the API)."""
    return tuple((field, _key(field)) for field in ORDER[name].split())


def _key(field: str) -> str:
    return _NAMED.get(field) or _CAPITALS.sub(lambda run: run[0].lower(), field, count=1)


def _value(value: Any, key: str, struct: str) -> Any:
    if struct == "PodSecurityContext" and key in HOST_FIELDS:
        struct = "PodSpec"
    field = schema.struct(f"core.v1.{struct}").fields[key]
    if value is None:
        return None if field.pointer else _zero(field.type)
    return _inside(value, field.type)


def _zero(type_: schema.Type) -> Any:
    match type_.kind:
        case "string":
            return ""
        case "bool":
            return False
        case "quantity":
            return "0"
        case "struct":
            return _inside({}, type_)
        case "list" | "map" | "bytes" | "time":
            return None
        case _:
            return 0


def _inside(value: Any, type_: schema.Type) -> Any:
    if type_.kind == "list":
        return [_inside(each, type_.of) for each in value]
    if type_.kind == "map":
        return {key: value[key] for key in sorted(value)}
    name = type_.name.removeprefix("core.v1.")
    if type_.kind == "struct" and name == "PersistentVolumeClaimTemplate":
        return _claim_template(value)
    return printed(value, name) if type_.kind == "struct" and name in ORDER else value


def _claim_template(template: Json) -> Json:
    spec = printed(template.get("spec") or {}, "PersistentVolumeClaimSpec")
    return {**(template.get("metadata") or {}), "Spec": spec}
