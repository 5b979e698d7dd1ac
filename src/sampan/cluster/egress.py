"""Ways out: a node's pods leave with the node's address; with --egress also through the host."""

from __future__ import annotations

import contextlib

from sampan.cluster.config import ClusterConfig
from sampan.cluster.machine import forwards
from sampan.linux.base.nft import NftError
from sampan.linux.real.nft import RealNft

NODE_TABLE = "sampan-podnet"


def masquerade_node(config: ClusterConfig) -> None:
    """In the node's namespace: what pods send beyond the pod range gets the node's address."""
    pods = config.pod_cidr
    rule = f"ip saddr {pods} ip daddr != {{ {pods}, 224.0.0.0/4 }} masquerade"
    _run(_table(NODE_TABLE, rule))


def _table(name: str, rule: str) -> str:
    """A table with one rule at the way out, replacing what it was."""
    return f"""table ip {name}
        delete table ip {name}
        table ip {name} {{
          chain postrouting {{
            type nat hook postrouting priority srcnat; policy accept;
            {rule}
          }}
        }}"""


def _run(script: str) -> None:
    with contextlib.closing(RealNft()) as nft:
        nft.run(script)


def host_table(name: str) -> str:
    """The one table that the host ever gets, and only with --egress."""
    return f"sampan-{name}"


def wanted(config: ClusterConfig) -> bool:
    """`auto` follows the host: where it forwards already, pods may leave through it."""
    return config.egress == "on" or (config.egress == "auto" and forwards())


def open_host(config: ClusterConfig) -> None:
    """On the host: what comes from the node range and leaves elsewhere gets the host's address."""
    nodes = config.node_cidr
    rule = f"ip saddr {nodes} ip daddr != {nodes} masquerade"
    _run(_table(host_table(config.name), rule))


def close_host(name: str) -> None:
    """Take the table away if it is there; a machine without nftables has none."""
    table = host_table(name)
    with contextlib.suppress(NftError), contextlib.closing(RealNft()) as nft:
        if nft.listing("ip", table):
            nft.run(f"delete table ip {table}")
