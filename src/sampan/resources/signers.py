"""Names of certificate signers: a domain and a name under it."""

from __future__ import annotations

from sampan.api import names
from sampan.resources import rules
from sampan.resources.rules import Errors


def signer_name(path: str, signer: str) -> Errors:
    """`example.com/signer-name`."""
    if not signer:
        return rules.required(path)
    domain, slash, rest = signer.partition("/")
    if not slash or "/" in rest:
        says = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return rules.invalid(path, signer, says)
    errors: Errors = []
    labels = domain.split(".")
    if len(labels) < 2:
        says = "should be a domain with at least two segments separated by dots"
        errors += rules.invalid(path, domain, says)
    for part, parts in ((domain, labels), (rest, rest.split("."))):
        for label in parts:
            faults = names.dns1123_label(label)
            errors += rules.each(path, part, [f'validating label "{label}": {f}' for f in faults])
    return errors


def is_upstreams(signer: str) -> bool:
    """Signers of Kubernetes itself issue for shorter times."""
    domain = signer.partition("/")[0]
    return domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
