"""The iptables data plane, chain for chain as upstream's (see README.md)."""
