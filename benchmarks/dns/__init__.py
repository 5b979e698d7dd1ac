"""Cluster DNS beside knot and unbound: the same zone, the same queries, one core each."""
