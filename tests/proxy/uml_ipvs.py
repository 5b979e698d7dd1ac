"""IPVS on a real kernel: runs as the only program of a User-Mode Linux, and prints a line for each
case that differs. Started by test_uml_ipvs.py.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sampan.cluster.parts.proxy_kernel import real_kernel
from sampan.proxy.config import configuration
from tests.proxy.case_folders import ROOT, Case, wanted

LAB = Path(__file__).parents[1] / "recorded" / "proxy"
TIMES = 12


def main(names: list[str]) -> None:
    sys.path.insert(0, str(LAB))
    import lab

    with lab.Lab():
        with lab.inside("rp-node"):
            kernel = real_kernel(configuration({"mode": "ipvs"}))
            backend = kernel.backends["ipvs"]()
            _say(f"probe {backend.probe() or 'good'}")
        for name in names:
            try:
                differing = _case(lab, backend, Case(ROOT / name))
            except Exception:  # noqa: BLE001 - told to the test, which fails with it
                differing = [" | ".join(traceback.format_exc().splitlines()[-3:])]
            _say(f"{'FAIL' if differing else 'PASS'} {name} {' ; '.join(differing)}")
        wrong = _unnoticed(lab, backend, Case(ROOT / names[0]))
        _say(f"{'FAIL' if wrong else 'PASS'} noticing {wrong}")
        with lab.inside("rp-node"):
            asyncio.run(backend.cleanup())
            left = backend._ipvs.servers() or backend._ipvs.addresses("kube-ipvs0")
            _say(f"{'FAIL' if left else 'PASS'} cleanup {left or ''}")


def _case(lab, backend, case: Case) -> list[str]:  # type: ignore[no-untyped-def]
    plan = case.planned("ipvs")
    with lab.inside("rp-node"):
        backend.configure(plan.settings)
        asyncio.run(backend.resync(plan.model))
        before = backend._ipvs.servers()
        asyncio.run(backend.resync(plan.model))
        if backend._ipvs.servers() != before:
            return ["a second look changed something"]
    found = []
    sticky = any(item.get("spec", {}).get("sessionAffinity") for item in case.objects)
    for probe, said, seen in _probed(lab, case):
        if probe["from"] == "node" and "source" in seen:
            # The node's own packets to an address that it holds come from that address.
            seen["source"] = said.get("source", "")
        if sticky and len(seen.get("answers", ())) == 1:
            seen["answers"] = said["answers"] if seen["answers"][0] in said["answers"] else []
        if not _agrees(seen, said):
            found.append(f"{probe['from']} {probe['to']}: said {said}, seen {seen}")
    return found


def _probed(lab, case: Case) -> list[tuple[dict, dict, dict]]:  # type: ignore[no-untyped-def, type-arg]
    """Each probe, what is said of it, and what it saw. A server gives its turns to all who ask:
    clients in step might each see the same ones, so those that are answered go one by one.
    """

    def seen(probe: dict) -> tuple[dict, dict, dict]:  # type: ignore[type-arg]
        return probe, wanted(probe, "ipvs"), lab.probe(probe["from"], probe["to"], TIMES)

    silent = [probe for probe in case.probes if "answers" not in wanted(probe, "ipvs")]
    with ThreadPoolExecutor(8) as pool:
        waited = list(pool.map(seen, silent))
    return waited + [seen(probe) for probe in case.probes if probe not in silent]


def _unnoticed(lab, backend, case: Case) -> str:  # type: ignore[no-untyped-def]
    """What somebody else does is noticed and repaired; what nobody did is not."""
    plan = case.planned("ipvs")
    with lab.inside("rp-node"):
        backend.configure(plan.settings)
        asyncio.run(backend.resync(plan.model))
        for command in ("ip link del kube-ipvs0", "ipset flush", "iptables -t nat -F", "servers"):
            if backend._sweep():
                return f"something else than ours before {command}"
            if command == "servers":
                backend._ipvs.remove(list(backend._ipvs.servers()))
            else:
                lab.sh(command)
            if not backend._sweep():
                return f"{command} was not noticed"
            asyncio.run(backend.resync(plan.model))
        return "something else than ours at the end" if backend._sweep() else ""


def _agrees(seen: dict, said: dict) -> bool:  # type: ignore[type-arg]
    outcome = said.get("outcome")
    if outcome == "refused":
        return seen.get("outcome") == "refused"
    if outcome == "dropped":
        return seen.get("outcome") == "timeout"
    if outcome == "passed":
        return "answers" not in seen
    return (
        seen.get("answers") == said["answers"]
        and not seen.get("failures")
        and seen["source"] in (said["source"], "node" if said["source"] == "client" else "")
    )


def _say(text: str) -> None:
    sys.stdout.write(f"uml: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
