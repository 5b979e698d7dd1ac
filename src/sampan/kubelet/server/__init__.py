"""The kubelet's own port: logs, exec, attach, port-forward, statistics, health."""
