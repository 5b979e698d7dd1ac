"""One machine, one cluster: the processes, in the order in which they start.

    supervisor          this file; forks all others and starts them again
    launcher@nodeN      parent of all pod processes of a node
    resolver            the way out for names
    controlplane        API server, controllers, scheduler
    agent@nodeN         kubelet, proxy and pod network of a node, in its namespace

Read `controlplane` and `agent` next: they wire the components.
"""

from __future__ import annotations

import importlib

from sampan.cluster import network, supervisor
from sampan.cluster.config import ClusterConfig
from sampan.cluster.paths import Paths
from sampan.cluster.supervisor import Role
from sampan.linux.real import launcher


def supervise(config: ClusterConfig, paths: Paths) -> int:
    """The supervisor's life, in a process of its own."""
    network.create(config, paths)

    def control_plane() -> None:
        from sampan.cluster import controlplane, credentials

        credentials.prepare(config, paths)
        controlplane.warm_up()

    def agents() -> None:
        importlib.import_module("sampan.cluster.agent")

    # Import once what several children need: they share the pages. The control plane starts first
    # because all others wait for it.
    return supervisor.main(config, paths, roles(config), (control_plane, agents))


def roles(config: ClusterConfig) -> list[Role]:
    """Every process of the cluster; each module is imported by whoever runs it."""
    return [
        *(Role("launcher", node, spawn=_launcher) for node in config.node_names),
        Role("resolver", "", _resolver),
        Role("controlplane", "", _control_plane, stage=1),
        *(Role("agent", node, _agent, stage=2) for node in config.node_names),
    ]


def _launcher(config: ClusterConfig, paths: Paths, node: str) -> int:
    run, state = paths.node_run(node), paths.node_state(node)
    cgroup = f"sampan/{config.name}/{node}"
    return launcher.spawn(str(run), cgroup=cgroup, state_dir=str(state))


def _resolver(config: ClusterConfig, paths: Paths, node: str) -> int:
    from sampan.cluster import resolver

    return resolver.main(config, paths, node)


def _control_plane(config: ClusterConfig, paths: Paths, node: str) -> int:
    from sampan.cluster import controlplane

    return controlplane.main(config, paths, node)


def _agent(config: ClusterConfig, paths: Paths, node: str) -> int:
    from sampan.cluster import agent

    # 'sampan up --proxy-mode' changes what is saved, and has agents started again.
    return agent.main(ClusterConfig.load(paths.config), paths, node)
