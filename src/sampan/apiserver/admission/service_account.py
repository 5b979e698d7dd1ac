"""ServiceAccount: every pod has an account that exists, and its token where it wants one."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api.meta import Json
from sampan.apiserver.attempts import CREATE, Attempt, Kinds
from sampan.apiserver.cacher.cacher import Cacher
from sampan.std.clock import Clock

DEFAULT = "default"
MIRROR = "kubernetes.io/config.mirror"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
VOLUME_PREFIX = "kube-api-access-"
TOKEN_SECONDS = 3607
"""An hour and seven seconds, by which kubelets know that nobody chose it."""
DEFAULT_TRIES = 10
RETRY_S = 0.1


class ServiceAccount:
    kinds: Kinds = frozenset({("", "pods")})

    def __init__(self, cacher: Cacher, clock: Clock, random_suffix: Callable[[], str]) -> None:
        self._accounts = cacher.collection("", "serviceaccounts")
        self._clock = clock
        self._suffix = random_suffix

    async def admit(self, attempt: Attempt) -> None:
        if not attempt.is_for("", "pods") or attempt.operation != CREATE or attempt.obj is None:
            return
        pod, spec = attempt.obj, attempt.obj["spec"]
        if MIRROR in (pod["metadata"].get("annotations") or {}):
            _refuse_references(attempt, spec)
            return
        name = spec.get("serviceAccountName") or DEFAULT
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(attempt, name)
        if _wants_token(spec, account):
            self._mount(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(ref) for ref in account["imagePullSecrets"]]

    async def validate(self, attempt: Attempt) -> None:
        return

    async def _account(self, attempt: Attempt, name: str) -> Json:
        """The default account of a new namespace may be a moment away."""
        for attempt_number in range(DEFAULT_TRIES if name == DEFAULT else 1):
            if attempt_number:
                await self._clock.sleep(RETRY_S)
            item = self._accounts.get(attempt.namespace, name)
            if item is not None:
                return item.decode()
        raise attempt.forbid(
            f"error looking up service account {attempt.namespace}/{name}: "
            f'serviceaccount "{name}" not found'
        )

    def _mount(self, spec: Json) -> None:
        name = _existing(spec) or VOLUME_PREFIX + self._suffix()
        needed = False
        for key in ("initContainers", "containers"):
            for container in spec.get(key) or ():
                mounts = container.get("volumeMounts") or []
                if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
                    continue
                needed = True
                mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
                container["volumeMounts"] = [*mounts, mount]
        if needed and not any(v["name"] == name for v in spec.get("volumes") or ()):
            spec["volumes"] = [*(spec.get("volumes") or ()), token_volume(name)]


def token_volume(name: str) -> Json:
    """Token, CA and namespace in one projected volume."""
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "name": name,
        "projected": {
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
            ],
            "defaultMode": 420,
        },
    }


def _existing(spec: Json) -> str:
    """A pod that was copied from another brings the volume with it."""
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source and volume["name"].startswith(VOLUME_PREFIX):
                return str(volume["name"])
    return ""


def _wants_token(spec: Json, account: Json) -> bool:
    for said in (
        spec.get("automountServiceAccountToken"), account.get("automountServiceAccountToken")
    ):  # fmt: skip
        if said is not None:
            return bool(said)
    return True


def _refuse_references(attempt: Attempt, spec: Json) -> None:
    """A mirror pod stands for a file on a node: it must not reach into the API."""
    if spec.get("serviceAccountName"):
        raise attempt.forbid("a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or ():
        sources = (volume.get("projected") or {}).get("sources") or ()
        if "secret" in volume:
            raise attempt.forbid("a mirror pod may not reference secrets")
        if any("serviceAccountToken" in source for source in sources):
            raise attempt.forbid("a mirror pod may not use ServiceAccountToken volume projections")
