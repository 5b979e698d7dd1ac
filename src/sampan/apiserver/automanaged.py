"""An APIService for each group and version of custom resources, as long as there is one."""

from __future__ import annotations

from sampan.api.errors import ApiError
from sampan.api.meta import Json
from sampan.apiserver.bootstrap import made
from sampan.apiserver.cacher.collection import Collection
from sampan.apiserver.registry.base import Parts
from sampan.apiserver.served import Catalog, Served
from sampan.std import log

_log = log.get("apiserver")

GROUP, PLURAL = "apiregistration.k8s.io", "apiservices"
LABEL = "kube-aggregator.kubernetes.io/automanaged"
GROUP_PRIORITY, VERSION_PRIORITY = 1000, 100


async def sync(parts: Parts, catalog: Catalog, definitions: Collection) -> None:
    """Make what is missing, remove what nobody needs any more; leave what others made."""
    served = catalog.find(GROUP, "v1", PLURAL)
    if served is None:
        return
    wanted = {f"{version}.{group}": (group, version) for group, version in _served(definitions)}
    try:
        for name, (group, version) in wanted.items():
            if served.collection.get("", name) is None:
                await parts.put(served, _service(parts, served, name, group, version), "", 0)
        for item in list(served.collection.items()):
            if item.labels.get(LABEL) == "true" and item.name not in wanted:
                await parts.remove(served, "", item.name, item.revision)
    except ApiError as error:
        _log.warning("APIServices of custom resources not kept", error=error)


def _served(definitions: Collection) -> set[tuple[str, str]]:
    return {
        (spec["group"], version["name"])
        for item in definitions.items()
        for spec in [item.decode()["spec"]]
        for version in spec["versions"]
        if version.get("served")
    }


def _service(parts: Parts, served: Served, name: str, group: str, version: str) -> Json:
    spec = {
        "group": group, "version": version, "groupPriorityMinimum": GROUP_PRIORITY,
        "versionPriority": VERSION_PRIORITY,
    }  # fmt: skip
    return made(
        parts, served, {"metadata": {"name": name, "labels": {LABEL: "true"}}, "spec": spec}
    )
