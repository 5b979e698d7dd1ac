"""Controllers against the real API server, in one process and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sampan.api import kinds
from sampan.api.meta import Json
from sampan.apiserver.assemble import Options, assemble
from sampan.apiserver.authn.keys import load_key
from sampan.apiserver.authn.static import StaticTokens
from sampan.apiserver.authn.user import User
from sampan.apiserver.bootstrap import Cluster
from sampan.client.client import Client
from sampan.client.inproc import InProcTransport
from sampan.cluster import pki
from sampan.cluster.parts.controllers import build
from sampan.controllers.deps import Settings
from sampan.resources.catalog import CATALOG
from sampan.std.clock import SystemClock
from sampan.store.memory import MemoryStore

POD: Json = {"containers": [{"name": "c", "image": "x:1"}]}


@asynccontextmanager
async def cluster() -> AsyncIterator[Client]:
    """An API server with all controllers; a client that may do anything."""
    tokens = StaticTokens()
    tokens.add("t", User("admin", groups=("system:masters", "system:authenticated")))
    key = pki.key_pem(pki.new_key())
    options = Options(
        Cluster(("10.96.0.0/12",), ("10.96.0.1",), ("127.0.0.1",), 6443, "CA"),
        tokens=tokens,
    )
    store = MemoryStore()
    api = await assemble(store, CATALOG, load_key(key), options, SystemClock())
    client = Client(InProcTransport(api.app.handle, {"authorization": "Bearer t"}))
    settings = Settings(
        root_ca="CA",
        service_account_key=key,
        allocate_node_cidrs=True,
        cluster_cidrs=("10.244.0.0/16",),
    )
    started = asyncio.Event()
    tasks = [
        asyncio.create_task(api.run()),
        asyncio.create_task(build(lambda user: client, settings).run(started.set)),
    ]
    try:
        await started.wait()
        yield client
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await store.close()


async def until(check: Callable[[], Awaitable[Any]]) -> Any:
    """What the check answers once it is true; it is asked often, and not for ever."""
    async with asyncio.timeout(10):
        while True:
            found = await check()
            if found:
                return found
            await asyncio.sleep(0.005)


def deployment(name: str) -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": POD}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


async def names(client: Client, rid: Any, namespace: str = "default") -> list[str]:
    page = await client.list(rid, namespace)
    return sorted(item["metadata"]["name"] for item in page["items"])


async def test_a_namespace_gets_its_account_and_goes_with_all_it_holds() -> None:
    async with cluster() as client:
        await client.create(kinds.NAMESPACES, {"metadata": {"name": "shop"}})
        await until(lambda: client.find(kinds.SERVICEACCOUNTS, "default", "shop"))
        root = await until(lambda: client.find(kinds.CONFIGMAPS, "kube-root-ca.crt", "shop"))
        assert root["data"] == {"ca.crt": "CA"}
        held: Json = {"metadata": {"name": "held", "finalizers": ["example.org/hold"]}}
        await client.create(kinds.CONFIGMAPS, held, namespace="shop")
        await client.create(kinds.SECRETS, {"metadata": {"name": "s"}}, namespace="shop")
        await client.delete(kinds.NAMESPACES, "shop")

        async def remaining() -> Json | None:
            found = await client.get(kinds.NAMESPACES, "shop")
            conditions = {c["type"]: c for c in found["status"].get("conditions") or ()}
            return conditions.get("NamespaceFinalizersRemaining")

        condition = await until(remaining)
        assert "example.org/hold in 1 resource instances" in condition["message"]
        assert await names(client, kinds.SECRETS, "shop") == []
        await client.patch(
            kinds.CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, namespace="shop"
        )

        async def gone() -> bool:
            return await client.find(kinds.NAMESPACES, "shop") is None

        await until(gone)


async def test_dependents_go_with_their_owner_or_are_freed() -> None:
    async with cluster() as client:
        await until(lambda: client.find(kinds.SERVICEACCOUNTS, "default", "default"))
        for name in ("background", "foreground", "orphan"):
            await client.create(kinds.DEPLOYMENTS, deployment(name))

        async def six() -> bool:
            return len(await names(client, kinds.PODS)) == 6

        await until(six)
        for name in ("background", "foreground", "orphan"):
            await client.delete(kinds.DEPLOYMENTS, name, "default", propagation=name.capitalize())

        async def only_orphans() -> bool:
            left = await names(client, kinds.DEPLOYMENTS)
            pods = await names(client, kinds.PODS)
            return not left and len(pods) == 2 and all(p.startswith("orphan") for p in pods)

        await until(only_orphans)
        (left,) = (await client.list(kinds.REPLICASETS, "default"))["items"]
        assert "ownerReferences" not in left["metadata"]


def owned(name: str, *owners: Json, kind: str = "ConfigMap", blocks: bool = True) -> Json:
    references = [
        {
            "apiVersion": "v1",
            "kind": kind,
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": blocks,
        }
        for owner in owners
    ]
    return {"metadata": {"name": name, "namespace": "default", "ownerReferences": references}}


async def test_one_owner_that_stays_is_enough() -> None:
    async with cluster() as client:
        first, second = [
            await client.create(kinds.CONFIGMAPS, owned(name)) for name in ("first", "second")
        ]
        await client.create(kinds.CONFIGMAPS, owned("both", first, second))
        await client.create(kinds.CONFIGMAPS, owned("one", first))
        await client.delete(kinds.CONFIGMAPS, "first", "default", propagation="Background")

        async def settled() -> bool:
            both = await client.get(kinds.CONFIGMAPS, "both", "default")
            left = [o["name"] for o in both["metadata"]["ownerReferences"]]
            return left == ["second"] and "one" not in await names(client, kinds.CONFIGMAPS)

        await until(settled)


async def test_a_circle_of_owners_can_be_deleted_in_the_foreground() -> None:
    async with cluster() as client:
        a = await client.create(kinds.CONFIGMAPS, owned("a"))
        b = await client.create(kinds.CONFIGMAPS, owned("b", a))
        a["metadata"]["ownerReferences"] = owned("a", b)["metadata"]["ownerReferences"]
        await client.update(kinds.CONFIGMAPS, a)
        await asyncio.sleep(0.05)
        await client.delete(kinds.CONFIGMAPS, "a", "default", propagation="Foreground")

        async def gone() -> bool:
            return not {"a", "b"} & set(await names(client, kinds.CONFIGMAPS))

        await until(gone)


async def test_what_names_an_owner_that_it_cannot_have_is_not_deleted() -> None:
    async with cluster() as client:
        owner = await client.create(kinds.CONFIGMAPS, owned("owner"))
        role = owned("role", owner)
        del role["metadata"]["namespace"]
        await client.create(kinds.CLUSTERROLES, role)
        elsewhere = owned("elsewhere", owner)
        elsewhere["metadata"]["namespace"] = "kube-public"
        await client.create(kinds.CONFIGMAPS, elsewhere)

        async def only_the_other() -> bool:
            return await client.find(kinds.CONFIGMAPS, "elsewhere", "kube-public") is None

        # An owner in another namespace is no owner: it is as if it were gone.
        await until(only_the_other)
        assert await client.find(kinds.CLUSTERROLES, "role") is not None
        uid = owner["metadata"]["uid"]

        async def told() -> bool:
            events = [*(await client.list(kinds.EVENTS))["items"]]
            found = {
                (event["involvedObject"]["name"], event["reason"], event["message"])
                for event in events
            }
            texts = {
                "elsewhere": f"ownerRef [v1/ConfigMap, namespace: kube-public, name: owner, uid: "
                f'{uid}] does not exist in namespace "kube-public"',
                "role": f"ownerRef [v1/ConfigMap, namespace: , name: owner, uid: {uid}] does not "
                'exist in namespace ""',
            }
            return {(k, "OwnerRefInvalidNamespace", v) for k, v in texts.items()} <= found

        await until(told)


async def test_a_token_secret_is_filled_and_goes_with_its_account() -> None:
    async with cluster() as client:
        await client.create(kinds.SERVICEACCOUNTS, {"metadata": {"name": "bot"}},
                            namespace="default")  # fmt: skip
        secret: Json = {
            "metadata": {
                "name": "tok",
                "annotations": {"kubernetes.io/service-account.name": "bot"},
            },
            "type": "kubernetes.io/service-account-token",
        }
        await client.create(kinds.SECRETS, secret, namespace="default")

        async def filled() -> bool:
            found = await client.get(kinds.SECRETS, "tok", "default")
            return set(found.get("data") or ()) == {"token", "ca.crt", "namespace"}

        await until(filled)
        await client.delete(kinds.SERVICEACCOUNTS, "bot", "default")

        async def gone() -> bool:
            return await client.find(kinds.SECRETS, "tok", "default") is None

        await until(gone)


async def finish(client: Client, pod: Json, phase: str) -> None:
    meta = pod["metadata"]
    body = {"status": {"phase": phase}}
    await client.patch(kinds.PODS, meta["name"], body, namespace="default", subresource="status")


async def test_a_job_counts_each_pod_once() -> None:
    async with cluster() as client:
        await until(lambda: client.find(kinds.SERVICEACCOUNTS, "default", "default"))
        template = {"spec": {**POD, "restartPolicy": "Never"}}
        job: Json = {
            "metadata": {"name": "j"},
            "spec": {"completions": 4, "parallelism": 2, "template": template},
        }
        await client.create(kinds.JOBS, job, namespace="default")

        async def complete() -> bool:
            for pod in (await client.list(kinds.PODS, "default"))["items"]:
                if pod["status"]["phase"] == "Pending":
                    await finish(client, pod, "Succeeded")
            found = await client.get(kinds.JOBS, "j", "default")
            conditions = found.get("status", {}).get("conditions") or ()
            return any(c["type"] == "Complete" for c in conditions)

        await until(complete)
        status = (await client.get(kinds.JOBS, "j", "default"))["status"]
        assert status["succeeded"] == 4
        pods = (await client.list(kinds.PODS, "default"))["items"]
        assert len(pods) == 4
        assert not any(pod["metadata"].get("finalizers") for pod in pods)


async def test_indexes_that_fail_too_often_end_the_job_when_the_others_are_done() -> None:
    async with cluster() as client:
        await until(lambda: client.find(kinds.SERVICEACCOUNTS, "default", "default"))
        template = {"spec": {**POD, "restartPolicy": "Never"}}
        job: Json = {
            "metadata": {"name": "j"},
            "spec": {
                "completions": 2,
                "parallelism": 2,
                "completionMode": "Indexed",
                "backoffLimitPerIndex": 0,
                "template": template,
            },
        }
        await client.create(kinds.JOBS, job, namespace="default")

        async def failed() -> Json | None:
            for pod in (await client.list(kinds.PODS, "default"))["items"]:
                if pod["status"]["phase"] == "Pending":
                    index = pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"]
                    await finish(client, pod, "Failed" if index == "1" else "Succeeded")
            found = await client.get(kinds.JOBS, "j", "default")
            conditions = {c["type"]: c for c in found.get("status", {}).get("conditions") or ()}
            return conditions.get("Failed")

        assert (await until(failed))["reason"] == "FailedIndexes"
        status = (await client.get(kinds.JOBS, "j", "default"))["status"]
        assert (status["completedIndexes"], status["failedIndexes"]) == ("0", "1")


async def test_a_claim_finds_the_smallest_volume_and_is_held_while_a_pod_uses_it() -> None:
    async with cluster() as client:
        await until(lambda: client.find(kinds.SERVICEACCOUNTS, "default", "default"))
        for name, size in (("small", "1Gi"), ("fits", "3Gi"), ("large", "9Gi")):
            volume: Json = {
                "metadata": {"name": name},
                "spec": {
                    "capacity": {"storage": size},
                    "accessModes": ["ReadWriteOnce"],
                    "hostPath": {"path": "/x"},
                    "persistentVolumeReclaimPolicy": "Retain",
                },
            }
            await client.create(kinds.PERSISTENTVOLUMES, volume)
        claim: Json = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "2Gi"}},
                "storageClassName": "",
            },
        }
        await client.create(kinds.PERSISTENTVOLUMECLAIMS, claim, namespace="default")

        async def bound() -> Json | None:
            found = await client.get(kinds.PERSISTENTVOLUMECLAIMS, "data", "default")
            return found if found["status"]["phase"] == "Bound" else None

        found = await until(bound)
        assert found["spec"]["volumeName"] == "fits"
        assert found["status"]["capacity"] == {"storage": "3Gi"}
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        spec = {**POD, "nodeName": "n1", "volumes": volumes, "terminationGracePeriodSeconds": 0}
        pod: Json = {"metadata": {"name": "p"}, "spec": spec}
        await client.create(kinds.NODES, {"metadata": {"name": "n1"}})
        await client.create(kinds.PODS, pod, namespace="default")
        await client.delete(kinds.PERSISTENTVOLUMECLAIMS, "data", "default")
        await asyncio.sleep(0.05)
        assert await bound() is not None
        await client.delete(kinds.PODS, "p", "default", grace_s=0)

        async def released() -> bool:
            there = await client.find(kinds.PERSISTENTVOLUMECLAIMS, "data", "default")
            volume = await client.get(kinds.PERSISTENTVOLUMES, "fits")
            return there is None and volume["status"]["phase"] == "Released"

        await until(released)


async def test_a_quota_falls_when_something_goes() -> None:
    async with cluster() as client:
        quota: Json = {"metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": "3"}}}
        await client.create(kinds.RESOURCEQUOTAS, quota, namespace="default")

        async def used(count: str) -> bool:
            found = await client.get(kinds.RESOURCEQUOTAS, "q", "default")
            return (found.get("status", {}).get("used") or {}).get("count/secrets") == count

        await until(lambda: used("0"))
        for name in ("a", "b", "c"):
            await client.create(kinds.SECRETS, {"metadata": {"name": name}}, namespace="default")
        assert await used("3")
        await client.delete(kinds.SECRETS, "b", "default")
        await until(lambda: used("2"))


async def test_aggregated_roles_gain_the_rules_of_new_ones() -> None:
    async with cluster() as client:
        rule = {"apiGroups": ["stable.example.com"], "resources": ["things"], "verbs": ["get"]}
        label = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
        role: Json = {"metadata": {"name": "things", "labels": label}, "rules": [rule]}
        await client.create(kinds.CLUSTERROLES, role)

        async def holds() -> bool:
            return rule in (await client.get(kinds.CLUSTERROLES, "view"))["rules"]

        await until(holds)


async def test_autoscalers_keep_within_their_bounds_without_metrics() -> None:
    async with cluster() as client:
        await until(lambda: client.find(kinds.SERVICEACCOUNTS, "default", "default"))
        big = deployment("big")
        big["spec"]["replicas"] = 6
        await client.create(kinds.DEPLOYMENTS, big)
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "big"}
        for name in ("one", "two"):
            spec = {"scaleTargetRef": target, "maxReplicas": 3}
            meta = {"name": name, "namespace": "default"}
            await client.create(kinds.HORIZONTALPODAUTOSCALERS, {"metadata": meta, "spec": spec})

        async def told() -> bool:
            events = (await client.list(kinds.EVENTS, "default"))["items"]
            found = {event["message"] for event in events}
            size = "New size: 3; reason: Current number of replicas above Spec.MaxReplicas"
            return size in found

        await until(told)
        assert (await client.get(kinds.DEPLOYMENTS, "big", "default"))["spec"]["replicas"] == 3
