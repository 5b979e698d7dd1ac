"""Creating, changing and deleting: races, names, finalizers, pools, quotas."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sampan.api.meta import Json
from tests.apiserver.conftest import pod

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker

MERGE = "application/merge-patch+json"
MAPS = "/api/v1/namespaces/default/configmaps"
SERVICES = "/api/v1/namespaces/default/services"


async def test_patches_that_race_all_win(server: Asker) -> None:
    await server.make(MAPS, {"metadata": {"name": "m"}})
    answers = await asyncio.gather(
        *(server.ask("PATCH", f"{MAPS}/m", {"data": {f"k{i}": "v"}}, type=MERGE) for i in range(20))
    )
    assert {status for status, _ in answers} == {200}
    _, obj = await server.ask("GET", f"{MAPS}/m")
    assert len(obj["data"]) == 20


async def test_puts_that_name_no_revision_all_win(server: Asker) -> None:
    await server.make(MAPS, {"metadata": {"name": "m"}})
    bodies = [{"metadata": {"name": "m"}, "data": {"k": str(i)}} for i in range(20)]
    answers = await asyncio.gather(*(server.ask("PUT", f"{MAPS}/m", body) for body in bodies))
    assert {status for status, _ in answers} == {200}
    assert len({obj["metadata"]["resourceVersion"] for _, obj in answers}) == 20


async def test_of_puts_that_name_a_revision_one_wins(server: Asker) -> None:
    made = await server.make(MAPS, {"metadata": {"name": "m"}})
    version = made["metadata"]["resourceVersion"]
    body = {"metadata": {"name": "m", "resourceVersion": version}}
    answers = await asyncio.gather(
        *(server.ask("PUT", f"{MAPS}/m", body | {"data": {"k": str(i)}}) for i in range(10))
    )
    assert sorted(status for status, _ in answers) == [200] + [409] * 9


async def test_of_creates_with_one_name_one_wins(server: Asker) -> None:
    answers = await asyncio.gather(
        *(server.ask("POST", MAPS, {"metadata": {"name": "m"}}) for _ in range(10))
    )
    assert sorted(status for status, _ in answers) == [201] + [409] * 9


async def test_a_write_that_changes_nothing_is_no_revision(server: Asker) -> None:
    made = await server.make(MAPS, {"metadata": {"name": "m"}, "data": {"a": "b"}})
    server.clock.time += 5
    _, same = await server.ask("PATCH", f"{MAPS}/m", {"data": {"a": "b"}}, type=MERGE)
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_dry_run_leaves_nothing(server: Asker) -> None:
    before = server.api.cacher.revision
    svc = {"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
    status, shown = await server.ask("POST", f"{SERVICES}?dryRun=All", svc)
    assert status == 201
    assert shown["spec"]["clusterIP"]
    assert server.api.cacher.revision == before
    allocator = server.api.parts.allocator
    assert not allocator.pending_ips  # type: ignore[attr-defined]
    assert not allocator.pending_ports  # type: ignore[attr-defined]


async def test_an_address_is_given_once_and_comes_back(server: Asker) -> None:
    wanted = {"clusterIP": "10.96.7.7", "ports": [{"port": 80}]}
    bodies = [{"metadata": {"name": f"s{i}"}, "spec": wanted} for i in range(8)]
    answers = await asyncio.gather(*(server.ask("POST", SERVICES, body) for body in bodies))
    assert sorted(status for status, _ in answers) == [201] + [422] * 7
    winner = next(obj for status, obj in answers if status == 201)
    status, _ = await server.ask("GET", "/apis/networking.k8s.io/v1/ipaddresses/10.96.7.7")
    assert status == 200
    await server.ask("DELETE", f"{SERVICES}/{winner['metadata']['name']}")
    status, _ = await server.ask("GET", "/apis/networking.k8s.io/v1/ipaddresses/10.96.7.7")
    assert status == 404
    assert (await server.ask("POST", SERVICES, bodies[0]))[0] == 201


async def test_services_made_at_once_get_addresses_and_ports_of_their_own(server: Asker) -> None:
    bodies = [
        {"metadata": {"name": f"s{i}"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
        for i in range(60)
    ]
    answers = await asyncio.gather(*(server.ask("POST", SERVICES, body) for body in bodies))
    specs = [obj["spec"] for status, obj in answers if status == 201]
    assert len({spec["clusterIP"] for spec in specs}) == 60
    assert len({spec["ports"][0]["nodePort"] for spec in specs}) == 60


async def test_a_dual_stack_service_gets_an_address_of_each_family(server: Asker) -> None:
    spec = {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]}
    made = await server.make(SERVICES, {"metadata": {"name": "s"}, "spec": spec})
    four, six = made["spec"]["clusterIPs"]
    assert four.startswith("10.96.")
    assert six.startswith("fd00:96::")


async def test_a_service_that_is_refused_keeps_no_port(server: Asker) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30500}], "sessionAffinity": "?"}
    status, _ = await server.ask("POST", SERVICES, {"metadata": {"name": "s"}, "spec": spec})
    assert status == 422
    del spec["sessionAffinity"]
    await server.make(SERVICES, {"metadata": {"name": "s"}, "spec": spec})


async def test_a_node_port_named_twice_or_taken_is_refused_on_update(server: Asker) -> None:
    await server.namespace("x")
    services = "/api/v1/namespaces/x/services"
    for name, number in (("a", 30080), ("b", 30081)):
        ports = [{"name": "p", "port": 80, "nodePort": number}]
        spec: Json = {"type": "NodePort", "ports": ports}
        await server.make(services, {"metadata": {"name": name}, "spec": spec})

    async def put(*ports: Json) -> tuple[int, Json]:
        named = [
            {"name": f"p{port['port']}{port.get('protocol', '').lower()}", **port} for port in ports
        ]
        body = {"spec": {"ports": named}}
        return await server.ask("PATCH", f"{services}/b", body, type="application/merge-patch+json")

    code, status = await put({"port": 80, "nodePort": 30080})
    (cause,) = status["details"]["causes"]
    assert (code, cause["field"]) == (422, "spec.ports[0].nodePort")
    assert cause["message"] == "Invalid value: 30080: provided port is already allocated"
    code, status = await put({"port": 80, "nodePort": 30090}, {"port": 81, "nodePort": 30090})
    assert (code, status["message"]) == (500, "duplicate nodePort: {TCP 30090}")
    assert "reason" not in status
    udp = {"port": 80, "nodePort": 30090, "protocol": "UDP"}
    assert (await put({"port": 80, "nodePort": 30090}, udp))[0] == 200


async def test_indexed_jobs_cannot_lose_their_completions(server: Asker) -> None:
    await server.namespace("x")
    jobs = "/apis/batch/v1/namespaces/x/jobs"
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
    spec = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "template": template}
    await server.make(jobs, {"metadata": {"name": "j"}, "spec": spec})
    body: Json = {"spec": {"completions": None}}
    code, status = await server.ask("PATCH", f"{jobs}/j", body, type="application/merge-patch+json")
    assert code == 422
    causes = {(cause["field"], cause["message"]) for cause in status["details"]["causes"]}
    assert causes == {("spec.completions", "Required value: when completion mode is Indexed")}


async def test_a_service_that_becomes_external_gives_everything_back(server: Asker) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30501}]}
    made = await server.make(SERVICES, {"metadata": {"name": "s"}, "spec": spec})
    ip = made["spec"]["clusterIP"]
    external = {"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "a.b"}}
    status, _ = await server.ask("PUT", f"{SERVICES}/s", external)
    assert status == 200
    assert (await server.ask("GET", f"/apis/networking.k8s.io/v1/ipaddresses/{ip}"))[0] == 404
    await server.make(SERVICES, {"metadata": {"name": "t"}, "spec": spec})


async def test_a_quota_is_exact_when_many_write_at_once(server: Asker) -> None:
    await server.namespace("q")
    quotas = "/api/v1/namespaces/q/resourcequotas"
    await server.make(quotas, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3"}}})
    status = {"status": {"hard": {"pods": "3"}, "used": {"pods": "0"}}}
    assert (await server.ask("PATCH", f"{quotas}/q/status", status, type=MERGE))[0] == 200
    pods = "/api/v1/namespaces/q/pods"
    answers = await asyncio.gather(*(server.ask("POST", pods, pod(f"p{i}")) for i in range(10)))
    assert sorted(code for code, _ in answers) == [201] * 3 + [403] * 7
    _, quota = await server.ask("GET", f"{quotas}/q")
    assert quota["status"]["used"] == {"pods": "3"}


async def test_a_pod_on_a_node_waits_for_its_grace_and_goes_when_forced(server: Asker) -> None:
    await server.namespace("a")
    pods = "/api/v1/namespaces/a/pods"
    await server.make(pods, pod("p", nodeName="n1", terminationGracePeriodSeconds=20))
    _, going = await server.ask("DELETE", f"{pods}/p")
    assert going["metadata"]["deletionGracePeriodSeconds"] == 20
    _, sooner = await server.ask("DELETE", f"{pods}/p?gracePeriodSeconds=5")
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 5
    _, same = await server.ask("DELETE", f"{pods}/p?gracePeriodSeconds=60")
    assert same["metadata"]["deletionGracePeriodSeconds"] == 5
    assert (await server.ask("DELETE", f"{pods}/p?gracePeriodSeconds=0"))[0] == 200
    assert (await server.ask("GET", f"{pods}/p"))[0] == 404


async def test_a_pod_gets_its_account_and_a_token_volume(server: Asker) -> None:
    await server.namespace("a")
    body = pod("p")
    del body["spec"]["automountServiceAccountToken"]
    made = await server.make("/api/v1/namespaces/a/pods", body)
    assert made["spec"]["serviceAccountName"] == "default"
    volume = made["spec"]["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    mount = made["spec"]["containers"][0]["volumeMounts"][0]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"


async def test_an_eviction_asks_the_disruption_budget(server: Asker) -> None:
    await server.namespace("a")
    body = pod("p", nodeName="n1")
    body["metadata"]["labels"] = {"app": "x"}
    await server.make("/api/v1/namespaces/a/pods", body)
    running = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    where = "/api/v1/namespaces/a/pods/p"
    assert (await server.ask("PATCH", f"{where}/status", running, type=MERGE))[0] == 200
    budgets = "/apis/policy/v1/namespaces/a/poddisruptionbudgets"
    selector = {"matchLabels": {"app": "x"}}
    made = await server.make(
        budgets, {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": selector}}
    )
    status = {
        "observedGeneration": made["metadata"]["generation"], "disruptionsAllowed": 0,
        "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1,
    }  # fmt: skip
    await server.ask("PATCH", f"{budgets}/b/status", {"status": status}, type=MERGE)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    code, refused = await server.ask("POST", f"{where}/eviction", eviction)
    assert code == 429
    assert refused["details"]["causes"][0]["reason"] == "DisruptionBudget"
    patch = {"status": {"disruptionsAllowed": 1}}
    await server.ask("PATCH", f"{budgets}/b/status", patch, type=MERGE)
    code, _ = await server.ask("POST", f"{where}/eviction", eviction)
    assert code == 201
    _, budget = await server.ask("GET", f"{budgets}/b")
    assert budget["status"]["disruptionsAllowed"] == 0
    _, gone = await server.ask("GET", where)
    assert gone["metadata"]["deletionTimestamp"]


async def test_deleting_a_collection_takes_what_is_selected(server: Asker) -> None:
    for i in range(30):
        labels = {"half": str(i % 2)}
        await server.make(MAPS, {"metadata": {"name": f"m{i}", "labels": labels}})
    status, listed = await server.ask("DELETE", f"{MAPS}?labelSelector=half%3D1")
    assert (status, len(listed["items"])) == (200, 15)
    _, rest = await server.ask("GET", MAPS)
    assert {item["metadata"]["labels"]["half"] for item in rest["items"]} == {"0"}


async def test_events_end_after_an_hour_without_news(server: Asker) -> None:
    from sampan.apiserver.housekeeping import Housekeeping

    keeper = Housekeeping(server.api.parts)
    events = "/api/v1/namespaces/default/events"
    for name in ("old", "new"):
        about = {"kind": "Pod", "namespace": "default", "name": "p"}
        await server.make(events, {"metadata": {"name": name}, "involvedObject": about})
        server.clock.time += 3000
    await keeper.expire_events()
    _, listed = await server.ask("GET", events)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["new"]


async def test_the_service_of_the_server_comes_back(server: Asker) -> None:
    before = (await server.ask("GET", f"{SERVICES}/kubernetes"))[1]
    assert (await server.ask("DELETE", f"{SERVICES}/kubernetes"))[0] == 200
    await server.ask("DELETE", "/api/v1/namespaces/default/endpoints/kubernetes")
    await server.api.kept.restore()
    after = (await server.ask("GET", f"{SERVICES}/kubernetes"))[1]
    assert after["spec"] == before["spec"]
    _, endpoints = await server.ask("GET", "/api/v1/namespaces/default/endpoints/kubernetes")
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "192.0.2.1"}]
    revision = server.api.cacher.revision
    await server.api.kept.restore()
    assert server.api.cacher.revision == revision


async def test_a_pod_that_waits_goes_no_sooner_than_it_is_asked_to(server: Asker) -> None:
    await server.namespace("a")
    pods = "/api/v1/namespaces/a/pods"
    await server.make(pods, pod("p", nodeName="n1", terminationGracePeriodSeconds=30))
    _, told = await server.ask("DELETE", f"{pods}/p")
    server.clock.time += 10
    _, same = await server.ask("DELETE", f"{pods}/p")
    assert same["metadata"]["deletionTimestamp"] == told["metadata"]["deletionTimestamp"]
    _, sooner = await server.ask("DELETE", f"{pods}/p?gracePeriodSeconds=20")
    ends = [meta["metadata"]["deletionTimestamp"] for meta in (told, sooner)]
    assert ends[1] < ends[0]
    assert sooner["metadata"]["deletionGracePeriodSeconds"] == 20


async def test_puts_that_race_to_create_all_win(server: Asker) -> None:
    path = "/api/v1/namespaces/default/limitranges/l"
    body = {"metadata": {"name": "l"}, "spec": {"limits": []}}
    asked = (server.ask("PUT", path, body) for _ in range(6))
    codes = [status for status, _ in await asyncio.gather(*asked)]
    assert sorted(codes) == [200] * 5 + [201]
