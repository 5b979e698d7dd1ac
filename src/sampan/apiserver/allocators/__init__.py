"""The shared pools: cluster addresses of both families, node ports, health check ports."""
