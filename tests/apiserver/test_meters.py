"""What /metrics and the health pages show, under the names that dashboards look for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.apiserver.conftest import Asker


async def page(server: Asker, path: str) -> str:
    return (await (await server.raw("GET", path)).read()).decode()


async def test_requests_are_counted_by_upstreams_labels(server: Asker) -> None:
    await server.namespace("m")
    body = {"metadata": {"name": "a"}}
    path = "/api/v1/namespaces/m/configmaps"
    await server.make(path, body)
    await server.ask("POST", path + "?dryRun=All", {"metadata": {"name": "b"}})
    applied = {"apiVersion": "v1", "kind": "ConfigMap", **body, "data": {"x": "y"}}
    kind = "application/apply-patch+yaml"
    await server.ask("PATCH", f"{path}/a?fieldManager=me", applied, type=kind)
    await server.ask("GET", path)
    await server.ask("GET", "/api/v1/configmaps")
    await server.ask("GET", "/nothing/here")
    text = await page(server, "/metrics")

    def counted(code: int, scope: str, verb: str, dry_run: str = "") -> str:
        return (
            f'apiserver_request_total{{code="{code}",component="apiserver",dry_run="{dry_run}",'
            f'group="",resource="configmaps",scope="{scope}",subresource="",verb="{verb}",'
            'version="v1"} 1\n'
        )

    assert counted(201, "namespace", "POST") in text
    assert counted(201, "namespace", "POST", "All") in text
    assert counted(200, "resource", "APPLY") in text
    assert counted(200, "namespace", "LIST") in text
    assert counted(200, "cluster", "LIST") in text
    assert 'code="404",component="apiserver",dry_run="",group="",resource=""' in text
    assert "nothing" not in text, "paths that do not exist make no series"
    assert 'apiserver_resource_objects{group="",resource="configmaps"} 1\n' in text
    assert 'apiserver_storage_objects{resource="deployments.apps"} 0\n' in text
    assert "kubernetes_build_info{" in text
    assert 'apiserver_request_duration_seconds_bucket{component="apiserver"' in text


async def test_readiness_has_checks_of_its_own(server: Asker) -> None:
    ready, alive = await page(server, "/readyz?verbose"), await page(server, "/livez?verbose")
    for check in ("etcd-readiness", "informer-sync", "shutdown"):
        assert f"[+]{check} ok\n" in ready
        assert f"]{check} ok" not in alive
    assert "[+]poststarthook/rbac/bootstrap-roles ok\n" in alive
    assert await page(server, "/readyz/poststarthook/rbac/bootstrap-roles") == "ok"
    assert "[+]etcd excluded: ok\n" in await page(server, "/readyz?verbose&exclude=etcd")
    assert "404" in await page(server, "/livez/informer-sync")


async def test_what_the_process_is_is_for_monitors(server: Asker) -> None:
    assert (await page(server, "/statusz")).startswith("\nkube-apiserver statusz\n")
    for path in ("/statusz", "/flagz", "/metrics"):
        assert (await server.raw("GET", path, token="alice")).status in (401, 403)
