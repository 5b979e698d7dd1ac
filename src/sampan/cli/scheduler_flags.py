"""The flags of `sampan scheduler`, by kube-scheduler's names."""

from sampan.cli.controllers_flags import SERVING_IGNORED

TABLE = """
= API server
kubeconfig | string | | how to reach it, and as whom; without it, as a pod does
master | string | | its address, over the kubeconfig's

= Scheduling
config | string | | file with a KubeSchedulerConfiguration: profiles, plugins, clientConnection, \
leaderElection
write-config-to | string | | write the file's configuration there, and exit

= Leader election
leader-elect | bool | true | work only while holding the lease
leader-elect-resource-name | string | kube-scheduler | name of the lease
leader-elect-resource-namespace | string | kube-system | namespace of the lease
leader-elect-lease-duration | duration | 15s | how long a silent holder keeps it
leader-elect-renew-deadline | duration | 10s | when a holder gives up renewing
leader-elect-retry-period | duration | 2s | how often it is tried

= Serving
bind-address | ip | 0.0.0.0 | where the pages listen
secure-port | int | 10259 | of /healthz, /metrics and the like, with TLS; 0: none
http-port | int | 0 | the same without TLS; 0: none
tls-cert-file | string | | serving certificate; made where none is given
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

IGNORED = (
    SERVING_IGNORED
    + """
pod-max-in-unschedulable-pods-duration duration
"""
)
