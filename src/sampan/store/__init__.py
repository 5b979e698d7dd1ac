"""MVCC key-value: bytes in, revisions out; knows no Kubernetes."""
