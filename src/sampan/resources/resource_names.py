"""Names of what is counted: `cpu`, `hugepages-2Mi`, `example.com/gpu`, `requests.storage`.

An unprefixed name (or one under kubernetes.io) is native and must be known; any other domain makes
an extended resource, which is counted in whole units and cannot be overcommitted.
"""

from __future__ import annotations

from functools import lru_cache

from sampan.api import names, quantity
from sampan.resources.rules import Errors, each, invalid

HUGE_PAGES = "hugepages-"
COMPUTE = frozenset(("cpu", "memory", "ephemeral-storage"))
COUNTED = frozenset(
    ("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers")
)  # fmt: skip
BOUNDED = frozenset(f"{kind}.{name}" for kind in ("requests", "limits") for name in COMPUTE)
QUOTA = COMPUTE | COUNTED | BOUNDED | {"requests.storage"}
STANDARD = QUOTA | {"storage"}
_NOT_INTEGER = "must be an integer"


def is_huge_pages(name: str) -> bool:
    return name.startswith(HUGE_PAGES)


def is_native(name: str) -> bool:
    return "/" not in name or "kubernetes.io/" in name


@lru_cache(maxsize=1024)
def is_extended(name: str) -> bool:
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_pages(name)


def is_integer(name: str) -> bool:
    return name in COUNTED or is_extended(name)


def is_quota(name: str) -> bool:
    return name in QUOTA or is_huge_pages(name) or name.startswith(f"requests.{HUGE_PAGES}")


def valid_name(path: str, name: str) -> Errors:
    """Any name that may be counted anywhere."""
    if name in COMPUTE:
        return []
    errors = each(path, name, names.qualified_name(name))
    if errors or "/" in name:
        return errors
    if name in STANDARD or is_quota(name):
        return []
    return invalid(path, name, "must be a standard resource type or fully qualified")


def container_name(path: str, name: str) -> Errors:
    """What a container may ask for."""
    if name in COMPUTE:
        return []
    errors = valid_name(path, name)
    if "/" not in name:
        if not is_huge_pages(name):
            errors += invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        errors += invalid(path, name, "doesn't follow extended resource name standard")
    return errors


def quota_name(path: str, name: str) -> Errors:
    errors = valid_name(path, name)
    if "/" not in name and not is_quota(name):
        errors += invalid(path, name, "must be a standard resource for quota")
    return errors


def amount(path: str, name: str, text: str) -> Errors:
    """Not negative, and whole where the resource only comes in whole units."""
    value = quantity.parse(text)
    errors: Errors = []
    if value.nanos < 0:
        errors += invalid(path, str(value), "must be greater than or equal to 0")
    if is_integer(name) and value.milli % 1000:
        errors += invalid(path, str(value), _NOT_INTEGER)
    return errors


def positive(path: str, text: str) -> Errors:
    value = quantity.parse(text)
    return [] if value.nanos > 0 else invalid(path, str(value), "must be greater than zero")


def huge_pages_fit(name: str, text: str) -> bool:
    """Whether the amount is a multiple of the page size in the name."""
    try:
        page = quantity.parse(name[len(HUGE_PAGES) :])
    except quantity.QuantityError:
        return False
    if page.nanos <= 0 or page.milli % 1000:
        return False
    return quantity.parse(text).value % page.value == 0
