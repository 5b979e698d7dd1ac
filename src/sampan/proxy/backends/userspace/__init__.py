"""The userspace data plane: a process between client and endpoint (see README.md)."""
