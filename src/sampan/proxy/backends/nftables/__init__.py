"""The nftables data plane: flat maps of endpoints, no chain per Service (see README.md)."""
