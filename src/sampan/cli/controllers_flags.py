"""The flags of `sampan controllers`, by kube-controller-manager's names."""

from sampan.cli.common_flags import LEADER, PAGES, SERVING_IGNORED

TABLE = f"""
= API server
kubeconfig | string | | how to reach it, and as whom; without it, as a pod does
master | string | | its address, over the kubeconfig's
use-service-account-credentials | bool | false | each controller acts as its own account

= Controllers
controllers | list | * | which: '*', names, and '-name' to leave one out
allocate-node-cidrs | bool | false | give each node a part of the cluster CIDR
cluster-cidr | list | | ranges of the pod addresses, one for each family
node-cidr-mask-size | int | 0 | size of a node's part; 0: 24, and 64 for IPv6
node-cidr-mask-size-ipv4 | int | 0 | the same, of IPv4 alone
node-cidr-mask-size-ipv6 | int | 0 | the same, of IPv6 alone
node-monitor-grace-period | duration | 50s | silence after which a node is Unknown
node-monitor-period | duration | 5s | how often silence is looked for
node-startup-grace-period | duration | 1m0s | that of a node that never reported
node-eviction-rate | float | 0.1 | silent nodes emptied a second
secondary-node-eviction-rate | float | 0.01 | the same, in a zone that is disrupted
unhealthy-zone-threshold | float | 0.55 | silent part of its nodes that disrupts a zone
large-cluster-size-threshold | int | 50 | nodes of a large zone
terminated-pod-gc-threshold | int | 12500 | finished pods to keep
root-ca-file | string | | authority that every namespace's ConfigMap kube-root-ca.crt holds
service-account-private-key-file | string | | key that signs token Secrets
cluster-signing-cert-file | string | | authority that signs certificates
cluster-signing-key-file | string | | its key
cluster-signing-duration | duration | 8760h0m0s | longest life of a certificate

{LEADER % "kube-controller-manager"}
= Serving
bind-address | ip | 0.0.0.0 | where the pages listen
secure-port | int | 10257 | of /healthz, /metrics and the like, with TLS; 0: none
{PAGES}"""

IGNORED = (
    SERVING_IGNORED
    + """
attach-detach-reconcile-sync-period duration
cidr-allocator-type string
cloud-config string
cloud-provider string
cluster-name string
cluster-signing-kube-apiserver-client-cert-file string
cluster-signing-kube-apiserver-client-key-file string
cluster-signing-kubelet-client-cert-file string
cluster-signing-kubelet-client-key-file string
cluster-signing-kubelet-serving-cert-file string
cluster-signing-kubelet-serving-key-file string
cluster-signing-legacy-unknown-cert-file string
cluster-signing-legacy-unknown-key-file string
concurrent-cron-job-syncs int
concurrent-daemonset-syncs int
concurrent-deployment-syncs int
concurrent-device-taint-eviction-syncs int
concurrent-endpoint-syncs int
concurrent-ephemeralvolume-syncs int
concurrent-gc-syncs int
concurrent-horizontal-pod-autoscaler-syncs int
concurrent-job-syncs int
concurrent-namespace-syncs int
concurrent-node-syncs int
concurrent-podgroup-syncs int
concurrent-rc-syncs int
concurrent-replicaset-syncs int
concurrent-resource-claim-syncs int
concurrent-resource-quota-syncs int
concurrent-service-endpoint-syncs int
concurrent-service-syncs int
concurrent-serviceaccount-token-syncs int
concurrent-statefulset-syncs int
concurrent-ttl-after-finished-syncs int
concurrent-validating-admission-policy-status-syncs int
configure-cloud-routes bool
controller-shutdown-timeout duration
controller-start-interval duration
disable-attach-detach-reconcile-sync bool
disable-force-detach-on-timeout bool
enable-dynamic-provisioning bool
enable-garbage-collector bool
enable-hostpath-provisioner bool
enable-leader-migration bool
endpoint-updates-batch-period duration
endpointslice-updates-batch-period duration
external-cloud-volume-plugin string
flex-volume-plugin-dir string
horizontal-pod-autoscaler-cpu-initialization-period duration
horizontal-pod-autoscaler-downscale-delay duration
horizontal-pod-autoscaler-downscale-stabilization duration
horizontal-pod-autoscaler-initial-readiness-delay duration
horizontal-pod-autoscaler-sync-period duration
horizontal-pod-autoscaler-tolerance float
horizontal-pod-autoscaler-upscale-delay duration
leader-migration-config string
legacy-service-account-token-clean-up-period duration
max-endpoints-per-slice int
min-resync-period duration
mirroring-concurrent-service-endpoint-syncs int
mirroring-endpointslice-updates-batch-period duration
mirroring-max-endpoints-per-subset int
namespace-sync-period duration
node-sync-period duration
pv-recycler-increment-timeout-nfs int
pv-recycler-minimum-timeout-hostpath int
pv-recycler-minimum-timeout-nfs int
pv-recycler-pod-template-filepath-hostpath string
pv-recycler-pod-template-filepath-nfs string
pv-recycler-timeout-increment-hostpath int
pvclaimbinder-sync-period duration
resource-quota-sync-period duration
route-reconciliation-period duration
service-cluster-ip-range list
"""
)
