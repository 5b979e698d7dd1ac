"""Ways out: a node's pods leave with the node's address; with --egress also through the host."""

from __future__ import annotations

from sampan.cluster.config import ClusterConfig
from sampan.cluster.machine import forwards
from sampan.linux.real.nft import RealNft

NODE_TABLE = "sampan-podnet"


def masquerade_node(config: ClusterConfig) -> None:
    """In the node's namespace: what pods send beyond the pod range gets the node's address."""
    pods = config.pod_cidr
    RealNft().run(
        f"""table ip {NODE_TABLE}
        delete table ip {NODE_TABLE}
        table ip {NODE_TABLE} {{
          chain postrouting {{
            type nat hook postrouting priority srcnat; policy accept;
            ip saddr {pods} ip daddr != {{ {pods}, 224.0.0.0/4 }} masquerade
          }}
        }}"""
    )


def host_table(name: str) -> str:
    """The one table that the host ever gets, and only with --egress."""
    return f"sampan-{name}"


def wanted(config: ClusterConfig) -> bool:
    """`auto` follows the host: where it forwards already, pods may leave through it."""
    return config.egress == "on" or (config.egress == "auto" and forwards())


def open_host(config: ClusterConfig) -> None:
    """On the host: what comes from the node range and leaves elsewhere gets the host's address."""
    table = host_table(config.name)
    RealNft().run(
        f"""table ip {table}
        delete table ip {table}
        table ip {table} {{
          chain postrouting {{
            type nat hook postrouting priority srcnat; policy accept;
            ip saddr {config.node_cidr} ip daddr != {config.node_cidr} masquerade
          }}
        }}"""
    )


def close_host(name: str) -> None:
    """Take the table away; an absent one is no error."""
    table = host_table(name)
    RealNft().run(f"table ip {table}\ndelete table ip {table}")
