"""The IPVS data plane: virtual servers and a constant number of rules (see README.md)."""
