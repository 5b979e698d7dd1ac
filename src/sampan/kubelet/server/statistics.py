"""What pods use: cgroup figures as /stats/summary, /metrics/cadvisor and /metrics/resource."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sampan.api.meta import Json
from sampan.kubelet import pods
from sampan.kubelet.kubelet import Kubelet
from sampan.kubelet.observed import CONTAINER_NAME, POD_NAME, POD_NAMESPACE
from sampan.kubelet.pods import time_text
from sampan.linux.base.cgroups import Cgroups, Usage
from sampan.linux.base.processes import ContainerState
from sampan.std.metrics import Registry

NANO = 1e9


def running(kubelet: Kubelet) -> Iterator[ContainerState]:
    for state in kubelet.kit.runtime.containers.values():
        if state.exit is None:
            yield state


def summary(kubelet: Kubelet, cgroups: Cgroups) -> Json:
    """The Summary API, as far as cgroups and /proc know."""
    kit = kubelet.kit
    now = kit.clock.now()
    usage = kubelet.reporter.machine.usage(kit.settings.root_dir)
    facts = kubelet.reporter.facts
    node: Json = {
        "nodeName": kit.settings.node_name,
        "cpu": {"time": time_text(now), "usageCoreNanoSeconds": usage.cpu_ns,
                "usageNanoCores": kubelet.rates.per_second("node", usage.cpu_ns, now)},
        "memory": {"time": time_text(now), "availableBytes": usage.memory_available,
                   "usageBytes": facts.memory - usage.memory_available,
                   "workingSetBytes": usage.memory_working_set},
        "fs": {"time": time_text(now), "availableBytes": usage.disk_available,
               "capacityBytes": facts.disk, "usedBytes": usage.disk_used},
        "rlimit": {"time": time_text(now), "maxpid": facts.max_pids, "curproc": usage.processes},
    }  # fmt: skip
    return {"node": node, "pods": [_pod(kubelet, cgroups, pod, now) for pod in kubelet.pods()]}


def _pod(kubelet: Kubelet, cgroups: Cgroups, pod: Json, now: float) -> Json:
    kit, uid = kubelet.kit, pods.uid_of(pod)
    meta, seen = pod["metadata"], kit.runtime.observe(pods.uid_of(pod))
    containers = []
    for state in seen.running():
        usage = cgroups.usage(state.spec.cgroup, now)
        if usage is not None:
            name = state.spec.labels[CONTAINER_NAME]
            started = {"name": name, "startTime": time_text(state.started)}
            containers.append({**started, **_figures(kubelet, state.spec.cgroup, usage)})
    box = seen.sandbox
    group = f"{kit.settings.cgroup}/{uid}"
    whole = cgroups.usage(group, now)
    return {
        "podRef": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
        "startTime": time_text(box.created) if box is not None else None,
        "containers": containers,
        **(_figures(kubelet, group, whole) if whole is not None else {}),
        **({"process_stats": {"process_count": whole.processes}} if whole is not None else {}),
    }


def _figures(kubelet: Kubelet, group: str, usage: Usage) -> Json:
    when = time_text(usage.time)
    memory: Json = {
        "time": when,
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.rss,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    }
    if usage.memory_limit:
        memory["availableBytes"] = max(0, usage.memory_limit - usage.working_set)
    rate = kubelet.rates.per_second(group, usage.cpu_ns, usage.time)
    cpu = {"time": when, "usageNanoCores": rate, "usageCoreNanoSeconds": usage.cpu_ns}
    return {"cpu": cpu, "memory": memory}


CADVISOR: tuple[tuple[str, str, str, Callable[[Usage], float]], ...] = (
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
     lambda usage: usage.cpu_ns / NANO),
    ("container_memory_usage_bytes", "gauge", "Current memory usage in bytes.",
     lambda usage: usage.memory),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.",
     lambda usage: usage.working_set),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", lambda usage: usage.rss),
    ("container_memory_cache", "gauge", "Number of bytes of page cache memory.",
     lambda usage: usage.cache),
    ("container_processes", "gauge", "Number of processes running inside the container.",
     lambda usage: usage.processes),
    ("container_oom_events_total", "counter", "Count of out of memory events observed.",
     lambda usage: usage.oom_kills),
    ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.",
     lambda usage: usage.memory_limit),
)  # fmt: skip


def cadvisor(kubelet: Kubelet, cgroups: Cgroups) -> str:
    """Prometheus text with cAdvisor's names and labels."""
    now = kubelet.kit.clock.now()
    rows = []
    for state in running(kubelet):
        usage = cgroups.usage(state.spec.cgroup, now)
        if usage is not None:
            rows.append((_labels(state), usage))
    lines = []
    for name, kind, help_text, value in CADVISOR:
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
        stamp = int(now * 1000)
        lines += [f"{name}{{{labels}}} {value(usage):g} {stamp}" for labels, usage in rows]
    return "\n".join(lines) + "\n"


def _labels(state: ContainerState) -> str:
    spec = state.spec
    pairs = {
        "container": spec.labels[CONTAINER_NAME],
        "id": f"/{spec.cgroup}",
        "image": spec.labels.get("io.sampan.image", ""),
        "name": spec.id,
        "namespace": spec.labels[POD_NAMESPACE],
        "pod": spec.labels[POD_NAME],
    }
    return ",".join(f'{name}="{value}"' for name, value in pairs.items())


def resource_metrics(kubelet: Kubelet, cgroups: Cgroups) -> str:
    """/metrics/resource: what a metrics server reads."""
    kit, now = kubelet.kit, kubelet.kit.clock.now()
    stamp = int(now * 1000)
    usage = kubelet.reporter.machine.usage(kit.settings.root_dir)
    lines = [
        "# TYPE node_cpu_usage_seconds_total counter",
        f"node_cpu_usage_seconds_total {usage.cpu_ns / NANO:f} {stamp}",
        "# TYPE node_memory_working_set_bytes gauge",
        f"node_memory_working_set_bytes {usage.memory_working_set} {stamp}",
    ]
    cpu, memory, starts = [], [], []
    for state in running(kubelet):
        found = cgroups.usage(state.spec.cgroup, now)
        if found is None:
            continue
        labels = ",".join(
            f'{name}="{state.spec.labels[label]}"'
            for name, label in (
                ("container", CONTAINER_NAME), ("namespace", POD_NAMESPACE), ("pod", POD_NAME),
            )
        )  # fmt: skip
        cpu.append(f"container_cpu_usage_seconds_total{{{labels}}} {found.cpu_ns / NANO:f} {stamp}")
        memory.append(f"container_memory_working_set_bytes{{{labels}}} {found.working_set} {stamp}")
        starts.append(f"container_start_time_seconds{{{labels}}} {state.started:f}")
    lines += ["# TYPE container_cpu_usage_seconds_total counter", *cpu]
    lines += ["# TYPE container_memory_working_set_bytes gauge", *memory]
    lines += ["# TYPE container_start_time_seconds gauge", *starts]
    return "\n".join(lines) + "\n"


def own_metrics(kubelet: Kubelet, cgroups: Cgroups) -> str:
    """The kubelet's own figures."""
    registry = Registry()
    states = {"running": 0, "exited": 0}
    for state in kubelet.kit.runtime.containers.values():
        states["exited" if state.exit is not None else "running"] += 1
    found = registry.gauge(
        "kubelet_running_containers", "Number of containers by state.", ("container_state",)
    )
    for name, count in states.items():
        found.labels(name).set(count)
    registry.gauge("kubelet_running_pods", "Number of pods that have a running sandbox.").set(
        len(kubelet.kit.runtime.sandboxes)
    )
    registry.gauge("kubelet_desired_pods", "Number of pods that the node is to run.").set(
        len(kubelet.workers)
    )
    return registry.render()
