"""The proxy's figures, under upstream's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from sampan.std.metrics import Registry

SYNC_BUCKETS = tuple(0.001 * 2**power for power in range(15))
PROGRAMMING_BUCKETS = (
    0.25,
    0.5,
    *(float(second) for second in range(1, 60)),
    *(float(second) for second in range(60, 120, 5)),
    *(float(second) for second in range(120, 301, 30)),
)
FAMILIES = ("IPv4", "IPv6")
LOCALHOST = "KUBE-NODEPORTS -d 127.0.0.0/8"
Counts = Callable[[], Mapping[tuple[int, str], int]]


class Metrics:
    """`registry` is what the `/metrics` page shows."""

    def __init__(self, mode: str) -> None:
        registry = self.registry = Registry()
        registry.process()

        prefix = "sync_proxy_rules"
        self.duration = registry.histogram(
            f"kubeproxy_{prefix}_duration_seconds",
            "Time to put changes in force, in seconds.",
            ("ip_family",),
            SYNC_BUCKETS,
        )
        self.full = registry.histogram(
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "Time of a full comparison with the kernel, in seconds.",
            ("ip_family",),
            SYNC_BUCKETS,
        )
        self.partial = registry.histogram(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "Time to load the changed Services, in seconds.",
            ("ip_family",),
            SYNC_BUCKETS,
        )
        self.programming = registry.histogram(
            "kubeproxy_network_programming_duration_seconds",
            "From the change of a Pod or Service to the rules in the kernel, in seconds.",
            ("ip_family",),
            PROGRAMMING_BUCKETS,
        )
        self.last = registry.gauge(
            f"kubeproxy_{prefix}_last_timestamp_seconds",
            "When rules were last loaded.",
            ("ip_family",),
        )
        self.queued = registry.gauge(
            f"kubeproxy_{prefix}_last_queued_timestamp_seconds",
            "When a change was last noticed.",
            ("ip_family",),
        )
        self._no_local = registry.gauge(
            f"kubeproxy_{prefix}_no_local_endpoints_total",
            "Services with policy Local and no endpoint on this node.",
            ("ip_family", "traffic_policy"),
        )
        self.endpoint_changes = registry.counter(
            f"kubeproxy_{prefix}_endpoint_changes_total", "Changed EndpointSlices."
        )
        self.endpoint_pending = registry.gauge(
            f"kubeproxy_{prefix}_endpoint_changes_pending", "EndpointSlices not in force yet."
        )
        self.service_changes = registry.counter(
            f"kubeproxy_{prefix}_service_changes_total", "Changed Services."
        )
        self.service_pending = registry.gauge(
            f"kubeproxy_{prefix}_service_changes_pending", "Services not in force yet."
        )
        self.healthz = registry.counter(
            "kubeproxy_proxy_healthz_total", "Answers of /healthz by status.", ("code",)
        )
        self.livez = registry.counter(
            "kubeproxy_proxy_livez_total", "Answers of /livez by status.", ("code",)
        )
        self.deleted_flows = registry.counter(
            "kubeproxy_conntrack_reconciler_deleted_entries_total",
            "UDP flows that were cut off.",
            ("ip_family",),
        )
        self.looked = registry.histogram(
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "Time to look for UDP flows that lead nowhere, in seconds.",
            ("ip_family",),
            SYNC_BUCKETS,
        )
        names = _FAILURES.get(mode, _FAILURES["nftables"])
        self.failures, self.other_failures = (
            registry.counter(f"kubeproxy_{prefix}_{name}_failures_total", text, ("ip_family",))
            for name, text in names
        )
        self._start()

    def _start(self) -> None:
        """Every series exists from the first scrape on."""
        for family in FAMILIES:
            for one in (self.duration, self.full, self.partial, self.programming):
                one.labels(family)
            for gauge in (self.last, self.queued):
                gauge.labels(family)
            for policy in ("internal", "external"):
                self._no_local.labels(family, policy)
            for counter in (self.deleted_flows, self.failures, self.other_failures):
                counter.labels(family)
            self.looked.labels(family)
        self.healthz.labels("200")
        self.livez.labels("200")

    def iptables(self, totals: Counts, written: Counts, packets: Callable[[str], float]) -> None:
        """The figures that only iptables mode has; all are asked at every scrape."""
        for name, text, counts in (
            ("total", "Rules that the proxy has.", totals),
            ("last", "Rules written by the last change.", written),
        ):
            gauge = self.registry.gauge(
                f"kubeproxy_sync_proxy_rules_iptables_{name}", text, ("ip_family", "table")
            )
            for number, family in ((4, "IPv4"), (6, "IPv6")):
                for table in ("filter", "nat"):
                    gauge.labels(family, table).read_from(partial(_count, counts, (number, table)))
        for name, text, words in (
            ("ct_state_invalid_dropped", "Packets dropped as INVALID.", "INVALID -j DROP"),
            ("localhost_nodeports_accepted", "Packets to node ports at 127.0.0.1.", LOCALHOST),
        ):
            counter = self.registry.counter(f"kubeproxy_iptables_{name}_packets_total", text)
            counter.labels().read_from(partial(packets, words))

    def no_local(self, count: Callable[[int, str], float]) -> None:
        """`count(family, policy)` is asked at every scrape."""
        for number, family in ((4, "IPv4"), (6, "IPv6")):
            for policy in ("internal", "external"):
                read = partial(count, number, policy)
                self._no_local.labels(family, policy).read_from(read)

    def queue(self, now: float, *, service: bool) -> None:
        """A change was noticed."""
        if service:
            self.service_changes.inc()
            self.service_pending.labels().inc()
        else:
            self.endpoint_changes.inc()
            self.endpoint_pending.labels().inc()
        for family in FAMILIES:
            self.queued.labels(family).set(now)

    def synced(self, seconds: float, now: float, *, full: bool) -> None:
        """Rules were loaded: nothing waits any more."""
        kind = self.full if full else self.partial
        for family in FAMILIES:
            self.duration.labels(family).observe(seconds)
            kind.labels(family).observe(seconds)
            self.last.labels(family).set(now)
        for gauge in (self.service_pending, self.endpoint_pending):
            gauge.set(0)

    def failed(self, *, full: bool = True) -> None:
        """The kernel refused; a refused part of the rules is counted apart where upstream does."""
        apart = not full and self.other_failures.name.endswith("partial_restore_failures_total")
        for family in FAMILIES:
            (self.other_failures if apart else self.failures).labels(family).inc()

    def not_cleaned(self) -> None:
        """What another mode left could not be removed."""
        if self.other_failures.name.endswith("cleanup_failures_total"):
            for family in FAMILIES:
                self.other_failures.labels(family).inc()


def _count(counts: Counts, where: tuple[int, str]) -> float:
    return counts().get(where, 0)


_RESTORE = (
    ("iptables_restore", "Transactions that the kernel refused."),
    ("iptables_partial_restore", "Transactions of some Services that the kernel refused."),
)
_FAILURES = {
    "nftables": (
        ("nftables_sync", "Transactions that the kernel refused."),
        ("nftables_cleanup", "Rules of before that could not be removed."),
    ),
    "iptables": _RESTORE,
    "ipvs": _RESTORE,
}
"""Under nftables' names for the modes whose rules are nftables'."""
