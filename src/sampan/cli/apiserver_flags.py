"""The flags of `sampan apiserver`, by kube-apiserver's names."""

from sampan.cli.common_flags import (
    KLOG_IGNORED,
    LOGS,
    LOGS_IGNORED,
    SECURE_IGNORED,
    SERVER_IGNORED,
)

TABLE = f"""
= Storage
data-dir | string | | folder for the store (state.db), keys and certificates (pki); needed

= Serving
bind-address | ip | 0.0.0.0 | address to listen on
secure-port | int | 6443 | HTTPS port; 0 takes a free one, which the log names
advertise-address | ip | | endpoint of the Service kubernetes; the bind address, or this machine's
cert-dir | string | | folder where apiserver.crt and apiserver.key are, or are made; DATA_DIR/pki
tls-cert-file | string | | serving certificate; made where none is given
tls-private-key-file | string | | its key
tls-min-version | string | | VersionTLS12 or VersionTLS13
tls-sans | list | | more names and addresses for the serving certificate that is made
insecure-port | int | 0 | plain HTTP on the loopback, as an administrator; 0: none
max-requests-inflight | int | 400 | reading requests at a time; 0: no limit
max-mutating-requests-inflight | int | 200 | writing requests at a time; 0: no limit

= Authentication
anonymous-auth | bool | true | let in who shows no credential, as system:anonymous
client-ca-file | string | | who signs client certificates; pki/ca.crt
token-auth-file | string | | CSV file: token,user,uid[,"group1,group2"]
enable-bootstrap-token-auth | bool | false | let in tokens of Secrets in kube-system
api-audiences | list | | audiences of tokens; the issuer
service-account-issuer | array | https://kubernetes.default.svc | issuer of tokens; given again: \
issuers whose tokens are taken too
service-account-key-file | array | | files of keys by which tokens are checked; the signing key
service-account-signing-key-file | string | | key that signs tokens, EC or RSA; made where not given

= Authorization
authorization-mode | list | Node,RBAC | of Node, RBAC, AlwaysAllow, AlwaysDeny; in this order

= Admission
enable-admission-plugins | list | | plugins beside the default ones
disable-admission-plugins | list | | plugins to leave out

= Cluster
service-cluster-ip-range | string | 10.96.0.0/12 | addresses of Services, one range for each family
service-node-port-range | string | 30000-32767 | ports of NodePort Services
event-ttl | duration | 1h0m0s | how long events are kept

= Kubelets
kubelet-certificate-authority | string | | who signs kubelets' certificates; unchecked if empty
kubelet-client-certificate | string | | certificate for kubelets; made where none is given
kubelet-client-key | string | | its key

{LOGS}verbosity | string | | as v, by name: debug, info, warning, error
"""

IGNORED = (
    LOGS_IGNORED
    + KLOG_IGNORED
    + SERVER_IGNORED
    + SECURE_IGNORED
    + """
admission-control bool
admission-control-config-file string
aggregator-reject-forwarding-redirect bool
allow-privileged bool
apiserver-count int
audit-log-batch-buffer-size int
audit-log-batch-max-size int
audit-log-batch-max-wait duration
audit-log-batch-throttle-burst int
audit-log-batch-throttle-enable bool
audit-log-batch-throttle-qps float
audit-log-compress bool
audit-log-format string
audit-log-maxage int
audit-log-maxbackup int
audit-log-maxsize int
audit-log-mode string
audit-log-path string
audit-log-truncate-enabled bool
audit-log-truncate-max-batch-size int
audit-log-truncate-max-event-size int
audit-log-version string
audit-policy-file string
audit-webhook-batch-buffer-size int
audit-webhook-batch-initial-backoff duration
audit-webhook-batch-max-size int
audit-webhook-batch-max-wait duration
audit-webhook-batch-throttle-burst int
audit-webhook-batch-throttle-enable bool
audit-webhook-batch-throttle-qps float
audit-webhook-config-file string
audit-webhook-initial-backoff duration
audit-webhook-mode string
audit-webhook-truncate-enabled bool
audit-webhook-truncate-max-batch-size int
audit-webhook-truncate-max-event-size int
audit-webhook-version string
authentication-token-webhook-config-file string
authentication-token-webhook-version string
cloud-config string
cloud-provider string
cloud-provider-gce-l7lb-src-cidrs string
cloud-provider-gce-lb-src-cidrs string
coordinated-leadership-lease-duration duration
coordinated-leadership-renew-deadline duration
coordinated-leadership-retry-period duration
cors-allowed-origins list
debug-socket-path string
default-not-ready-toleration-seconds int
default-unreachable-toleration-seconds int
default-watch-cache-size int
delete-collection-workers int
egress-selector-config-file string
enable-aggregator-routing bool
enable-garbage-collector bool
enable-logs-handler bool
enable-priority-and-fairness bool
endpoint-reconciler-type string
etcd-cafile string
etcd-certfile string
etcd-compaction-interval duration
etcd-count-metric-poll-period duration
etcd-db-metric-poll-interval duration
etcd-healthcheck-timeout duration
etcd-keyfile string
etcd-prefix string
etcd-readycheck-timeout duration
etcd-servers list
etcd-servers-overrides list
external-hostname string
goaway-chance float
kubelet-port int
kubelet-preferred-address-types list
kubelet-read-only-port int
kubelet-timeout duration
kubernetes-service-node-port int
lease-reuse-duration-seconds int
livez-grace-period duration
log-dir string
log-file string
max-connection-bytes-per-sec int
min-request-timeout int
oidc-ca-file string
oidc-client-id string
oidc-groups-claim string
oidc-groups-prefix string
oidc-issuer-url string
oidc-required-claim map
oidc-signing-algs list
oidc-username-claim string
oidc-username-prefix string
peer-advertise-ip string
peer-advertise-port string
peer-ca-file string
proxy-client-cert-file string
proxy-client-key-file string
request-timeout duration
runtime-config map
runtime-config-emulation-forward-compatible bool
service-account-extend-token-expiration bool
service-account-jwks-uri string
service-account-lookup bool
service-account-max-token-expiration duration
shutdown-delay-duration duration
shutdown-send-retry-after bool
shutdown-watch-termination-grace-period duration
storage-backend string
storage-initialization-timeout duration
storage-media-type string
strict-transport-security-directives list
target-ram-mb int
tracing-config-file string
watch-cache bool
watch-cache-initialization-post-start-hook bool
watch-cache-sizes list
"""
)

REFUSED = {
    "authentication-config": "only the flags of this server say who is let in",
    "authorization-config": "only --authorization-mode says who may do what",
    "authorization-policy-file": "ABAC is not served; use RBAC",
    "authorization-webhook-config-file": "webhook authorization is not served; use RBAC",
    "encryption-provider-config": "objects are stored as they are; encrypt the disk instead",
    "service-account-signing-endpoint": "tokens are signed by --service-account-signing-key-file",
}
"""What would promise a protection that is not there."""
