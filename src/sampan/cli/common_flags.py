"""Flags that the parts with leader election and pages of their own have in common."""

LEADER = """= Leader election
leader-elect | bool | true | work only while holding the lease
leader-elect-resource-name | string | %s | name of the lease
leader-elect-resource-namespace | string | kube-system | namespace of the lease
leader-elect-lease-duration | duration | 15s | how long a silent holder keeps it
leader-elect-renew-deadline | duration | 10s | when a holder gives up renewing
leader-elect-retry-period | duration | 2s | how often it is tried
"""
"""With the name of the lease."""

PAGES = """tls-cert-file | string | | serving certificate; made where none is given
tls-private-key-file | string | | its key
client-ca-file | string | | who signs the certificates of those who ask; the kubeconfig's CA
authentication-kubeconfig | string | | whom to ask about tokens; the kubeconfig's server
authorization-kubeconfig | string | | whom to ask about rights; the authentication kubeconfig
authorization-always-allow-paths | list | /healthz,/readyz,/livez | pages for everybody

= Logs
v | int | 0 | 4 and more: debug logs
version | bool | | print the version and exit
help | bool | | print this text
"""
"""Behind the address and port of `= Serving`."""

SERVING_IGNORED = """
allow-metric-labels string
allow-metric-labels-manifest string
authentication-skip-lookup bool
authentication-token-webhook-cache-ttl duration
authentication-tolerate-lookup-failure bool
authorization-webhook-cache-authorized-ttl duration
authorization-webhook-cache-unauthorized-ttl duration
cert-dir string
contention-profiling bool
disable-http2-serving bool
disabled-metrics list
emulated-version list
emulation-forward-compatible bool
feature-gates gates
http2-max-streams-per-connection int
kube-api-burst int
kube-api-content-type string
kube-api-qps float
leader-elect-resource-lock string
log-flush-frequency duration
log-json-info-buffer-size string
log-json-split-stream bool
log-text-info-buffer-size string
log-text-split-stream bool
logging-format string
logtostderr bool
min-compatibility-version list
permit-address-sharing bool
permit-port-sharing bool
profiling bool
requestheader-allowed-names list
requestheader-client-ca-file string
requestheader-extra-headers-prefix list
requestheader-group-headers list
requestheader-uid-headers list
requestheader-username-headers list
show-hidden-metrics-for-version string
stderrthreshold string
tls-cipher-suites list
tls-curve-preferences list
tls-min-version string
tls-sni-cert-key array
vmodule string
"""
"""Upstream's, and without effect here."""
