"""TLS contexts from the file names of a Corefile: none, an authority, a pair, or all three."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence

from sampan.dns.corefile import CorefileError


def client_context(words: Sequence[str], path: Callable[[str], str]) -> ssl.SSLContext:
    """For connections that we open. Raises CorefileError."""
    files = [path(word) for word in words]
    authority = files[0] if len(files) == 1 else files[2] if len(files) == 3 else None
    if authority is not None and not os.path.exists(authority):
        missing = f"open {authority}: no such file or directory"
        raise CorefileError(f"error reading {authority}: {missing}")
    try:
        context = ssl.create_default_context(cafile=authority)
        if len(files) > 1:
            context.load_cert_chain(files[0], files[1])
    except (OSError, ssl.SSLError) as bad:
        raise CorefileError(f"could not load TLS cert: {why(bad)}") from bad
    return context


def server_context(files: Sequence[str], client_auth: str) -> ssl.SSLContext:
    """For connections that we accept; `client_auth` is CoreDNS' word. Raises CorefileError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        for name in files[:2]:
            with open(name, "rb"):
                pass  # so that the error names the file
        context.load_cert_chain(files[0], files[1])
        if len(files) > 2:
            context.load_verify_locations(files[2])
    except (OSError, ssl.SSLError) as bad:
        raise CorefileError(f"could not load TLS cert: {why(bad)}") from bad
    if client_auth in ("verify_if_given", "request"):
        context.verify_mode = ssl.CERT_OPTIONAL
    elif client_auth in ("require", "require_and_verify"):
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def why(bad: OSError) -> str:
    """The failure as Go words it."""
    if isinstance(bad, ssl.SSLError) or not bad.filename:
        return str(bad)
    return f"open {bad.filename}: {(bad.strerror or '').lower()}"
