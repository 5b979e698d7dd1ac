"""Flags that parts have in common: what has an effect, and what upstream has besides."""

LEADER = """= Leader election
leader-elect | bool | true | work only while holding the lease
leader-elect-resource-name | string | %s | name of the lease
leader-elect-resource-namespace | string | kube-system | namespace of the lease
leader-elect-lease-duration | duration | 15s | how long a silent holder keeps it
leader-elect-renew-deadline | duration | 10s | when a holder gives up renewing
leader-elect-retry-period | duration | 2s | how often it is tried
"""
"""With the name of the lease."""

LOGS = """= Logs
v | Level | | 4 and more: debug logs
version | version[=true] | | print the version and exit
help | bool | | print this text
"""

PAGES = f"""tls-cert-file | string | | serving certificate; made where none is given
tls-private-key-file | string | | its key
client-ca-file | string | | who signs the certificates of those who ask; the kubeconfig's CA
authentication-kubeconfig | string | | whom to ask about tokens; the kubeconfig's server
authorization-kubeconfig | string | | whom to ask about rights; the authentication kubeconfig
authorization-always-allow-paths | list | /healthz,/readyz,/livez | pages for everybody

{LOGS}"""
"""Behind the address and port of `= Serving`."""

LOGS_IGNORED = """
log-flush-frequency duration 5s
log-json-info-buffer-size quantity
log-json-split-stream bool
log-text-info-buffer-size quantity
log-text-split-stream bool
logging-format string text
vmodule pattern=N,...
"""
"""Upstream's, and without effect here, as all that follow."""

KLOG_IGNORED = """
logtostderr bool
stderrthreshold string
"""
"""Of the logs, too, but not of every part."""

SERVER_IGNORED = """
authentication-token-webhook-cache-ttl duration
contention-profiling bool
feature-gates gates
tls-cipher-suites list
tls-curve-preferences list
"""
"""Of parts that listen with TLS."""

SECURE_IGNORED = """
allow-metric-labels string
allow-metric-labels-manifest string
disable-http2-serving bool
disabled-metrics list
emulated-version list
emulation-forward-compatible bool
http2-max-streams-per-connection int
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
tls-sni-cert-key array
"""
"""Of those upon upstream's library for API servers."""

DELEGATED_IGNORED = """
authorization-webhook-cache-authorized-ttl duration
authorization-webhook-cache-unauthorized-ttl duration
cert-dir string
kube-api-burst int
kube-api-content-type string
tls-min-version string
"""
"""Of those that ask the API server who may do what."""

SERVING_IGNORED = f"""
{LOGS_IGNORED}{KLOG_IGNORED}{SERVER_IGNORED}{SECURE_IGNORED}{DELEGATED_IGNORED}
authentication-skip-lookup bool
authentication-tolerate-lookup-failure bool
kube-api-qps float
leader-elect-resource-lock string
"""
"""Of the parts with leader election and pages of their own."""
