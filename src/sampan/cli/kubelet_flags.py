"""The flags of `sampan kubelet`, by kubelet's names."""

from sampan.cli.common_flags import (
    DELEGATED_IGNORED,
    KLOG_IGNORED,
    LOGS,
    LOGS_IGNORED,
    SERVER_IGNORED,
)

TABLE = f"""
= API server
kubeconfig | string | | how to reach it, and as whom; without it, as a pod does
master | string | | its address, over the kubeconfig's
pod-network-kubeconfig | string | | who may list all Nodes, so that their pods are reached

= Node
config | string | | file with a KubeletConfiguration; flags win over it
hostname-override | string | | name of this node; the machine's if empty
node-name | string | | the same
node-ip | list | | this node's address; the one of the default route if empty
node-labels | map | | labels of the node when it registers, k=v,...
register-node | bool | true | make the Node object
register-schedulable | bool | true | take pods from the beginning
register-with-taints | list | | taints of the node, k=v:effect,...
provider-id | string | | spec.providerID of the node
max-pods | int | 110 | how many pods may run here
kube-reserved | map | | taken off the capacity for the node's own daemons, cpu=200m,memory=300Mi
system-reserved | map | | the same for the system
node-status-update-frequency | duration | 10s | how often the node reports
pod-max-pids | int | -1 | process ids of one pod; -1: no limit

= Pods
pod-manifest-path | string | | directory of static pods
manifest-url | string | | URL of static pods
file-check-frequency | duration | 20s | how often static pods are looked for
sync-frequency | duration | 1m0s | how often a pod is looked at without news of it
cluster-dns | list | | addresses of the cluster DNS
cluster-domain | string | cluster.local | domain of the cluster's names
resolv-conf | string | /etc/resolv.conf | the node's own resolver file
container-log-max-size | string | 10Mi | a log of this size is rotated
container-log-max-files | int | 5 | how many are kept

= State
root-dir | string | /var/lib/kubelet | volumes, images, logs
run-dir | string | | run-time files; /run/sampan/kubelet-NODE if empty
cgroup-root | string | | parent group of the pods; sampan/kubelet/NODE if empty
cleanup | bool | | end all pods of the node, remove them, and exit

= Serving
address | ip | 0.0.0.0 | where the port listens
port | int | 10250 | logs, exec, statistics; with TLS
healthz-bind-address | ip | 127.0.0.1 | where the health page listens
healthz-port | int | 10248 | plain /healthz; 0: none
tls-cert-file | string | | certificate of the port; one is made if empty
tls-private-key-file | string | | its key
client-ca-file | string | | who signs clients; the kubeconfig's CA if empty
anonymous-auth | bool | false | let in who has no credentials, as system:anonymous
authentication-token-webhook | bool | true | ask the API server about bearer tokens
authorization-mode | string | Webhook | Webhook asks the API server who may do what; AlwaysAllow

{LOGS}"""

IGNORED = (
    LOGS_IGNORED
    + KLOG_IGNORED
    + SERVER_IGNORED
    + DELEGATED_IGNORED
    + """
allowed-unsafe-sysctls list
application-metrics-count-limit int
boot-id-file string
bootstrap-kubeconfig string
cgroup-driver string
cgroups-per-qos bool
cloud-config string
cloud-provider string
config-dir string
container-hints string
container-runtime string
container-runtime-endpoint string
containerd string
containerd-namespace string
cpu-cfs-quota bool
cpu-cfs-quota-period duration
cpu-manager-policy string
cpu-manager-policy-options map
cpu-manager-reconcile-period duration
enable-controller-attach-detach bool
enable-debugging-handlers bool
enable-server bool
enforce-node-allocatable list
event-burst int
event-qps int
eviction-hard list
eviction-max-pod-grace-period int
eviction-minimum-reclaim map
eviction-pressure-transition-period duration
eviction-soft list
eviction-soft-grace-period map
exit-on-lock-contention bool
experimental-allocatable-ignore-eviction bool
fail-swap-on bool
global-housekeeping-interval duration
hairpin-mode string
housekeeping-interval duration
http-check-frequency duration
image-credential-provider-bin-dir string
image-credential-provider-config string
image-gc-high-threshold int
image-gc-low-threshold int
image-service-endpoint string
keep-terminated-pod-volumes bool
kernel-memcg-notification bool
kube-api-qps int
kube-reserved-cgroup string
kubelet-cgroups string
local-storage-capacity-isolation bool
lock-file string
log-cadvisor-usage bool
machine-id-file string
make-iptables-util-chains bool
manifest-url-header string
max-open-files int
maximum-dead-containers int
maximum-dead-containers-per-container int
memory-manager-policy string
minimum-container-ttl-duration duration
minimum-image-ttl-duration duration
node-status-max-images int
oom-score-adj int
pod-cidr string
pod-infra-container-image string
pods-per-core int
protect-kernel-defaults bool
qos-reserved map
read-only-port int
registry-burst int
registry-qps int
reserved-cpus string
reserved-memory list
rotate-certificates bool
rotate-server-certificates bool
runonce bool
runtime-cgroups string
runtime-request-timeout duration
seccomp-default bool
serialize-image-pulls bool
storage-driver-buffer-duration duration
storage-driver-db string
storage-driver-host string
storage-driver-password string
storage-driver-secure bool
storage-driver-table string
storage-driver-user string
streaming-connection-idle-timeout duration
system-cgroups string
system-reserved-cgroup string
topology-manager-policy string
topology-manager-policy-options map
topology-manager-scope string
volume-plugin-dir string
volume-stats-agg-period duration
"""
)

OWN_LABELS = frozenset((
    "kubernetes.io/hostname", "kubernetes.io/instance-type", "kubernetes.io/os",
    "kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch", "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region", "failure-domain.kubernetes.io/zone",
    "failure-domain.kubernetes.io/region", "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
))  # fmt: skip
"""Of kubernetes.io and k8s.io, what a node may call itself."""
