"""The flags of `sampan scheduler`, by kube-scheduler's names."""

from sampan.cli.common_flags import LEADER, PAGES, SERVING_IGNORED

TABLE = f"""
= API server
kubeconfig | string | | how to reach it, and as whom; without it, as a pod does
master | string | | its address, over the kubeconfig's

= Scheduling
config | string | | file with a KubeSchedulerConfiguration: profiles, plugins, clientConnection, \
leaderElection
write-config-to | string | | write the file's configuration there, and exit

{LEADER % "kube-scheduler"}
= Serving
bind-address | ip | 0.0.0.0 | where the pages listen
secure-port | int | 10259 | of /healthz, /metrics and the like, with TLS; 0: none
http-port | int | 0 | the same without TLS; 0: none
{PAGES}"""

IGNORED = (
    SERVING_IGNORED
    + """
pod-max-in-unschedulable-pods-duration duration
"""
)
