"""The eBPF data plane: sockets connect to endpoints directly (see README.md)."""
