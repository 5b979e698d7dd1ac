"""Certificates and keys that are in memory and not in files, for TLS contexts."""

from __future__ import annotations

import os
import ssl


def load_pair(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """Give a context its own certificate (PEM, chain included) and key.

    OpenSSL reads pairs from files only; this one has no name and is gone when it was read. Raises
    ssl.SSLError.
    """
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, cert + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def server_context(cert: bytes, key: bytes) -> ssl.SSLContext:
    """A server's context with this certificate; clients need none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_pair(context, cert, key)
    return context
