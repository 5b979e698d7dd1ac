"""Every metric of the DNS server, by CoreDNS' names: dashboards and alerts are written for them.

Made once per process and kept across reloads. Families without labels always show; those with
labels once they have a value.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from sampan.std.metrics import Counter, Distribution, Gauge, Histogram, Registry

SIZES = (0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16e3, 32e3, 48e3, 64e3)
TIMES = tuple(0.00025 * 2**i for i in range(16))
SLOW_TIMES = (0.00025, 0.0025, 0.025, 0.25, 2.5)
PROGRAMMING_TIMES = tuple(0.001 * 2**i for i in range(20))
REST_TIMES = (0.005, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_SITE = ("server", "zone", "view")


class Counters:
    """One attribute per family, named as CoreDNS names it, without `coredns_` in front."""

    def __init__(self, registry: Registry | None = None) -> None:
        self.registry = registry or Registry()
        self.build_info = self._gauge("build_info", "version", "revision", "goversion")
        self.panics_total = self._counter("panics_total")
        self.plugin_enabled = self._gauge("plugin_enabled", *_SITE, "name")
        self._queries()
        self._cache()
        self._forward()
        self._kubernetes()
        self._smaller()

    def _queries(self) -> None:
        self.requests = self._counter("dns_requests_total", *_SITE, "proto", "family", "type")
        self.durations = self._histogram("dns_request_duration_seconds", TIMES, *_SITE)
        self.request_sizes = self._histogram("dns_request_size_bytes", SIZES, *_SITE, "proto")
        self.response_sizes = self._histogram("dns_response_size_bytes", SIZES, *_SITE, "proto")
        self.do_requests = self._counter("dns_do_requests_total", *_SITE)
        self.responses = self._counter("dns_responses_total", *_SITE, "rcode", "plugin")
        self.https_responses = self._counter("dns_https_responses_total", "server", "status")

    def _cache(self) -> None:
        site = ("server", "zones", "view")
        self.cache_entries = self._gauge("cache_entries", "server", "type", "zones", "view")
        self.cache_requests = self._counter("cache_requests_total", *site)
        self.cache_hits = self._counter("cache_hits_total", "server", "type", "zones", "view")
        self.cache_misses = self._counter("cache_misses_total", *site)
        self.cache_prefetches = self._counter("cache_prefetch_total", *site)
        self.cache_drops = self._counter("cache_drops_total", *site)
        self.cache_stale = self._counter("cache_served_stale_total", *site)
        self.cache_evictions = self._counter(
            "cache_evictions_total", "server", "type", "zones", "view"
        )

    def _forward(self) -> None:
        self.forward_broken = self._counter("forward_healthcheck_broken_total")
        self.forward_rejects = self._counter("forward_max_concurrent_rejects_total")
        to = ("proxy_name", "to")
        self.proxy_durations = self._histogram(
            "proxy_request_duration_seconds", TIMES, *to, "rcode"
        )
        self.proxy_failures = self._counter("proxy_healthcheck_failures_total", *to)
        self.proxy_hits = self._counter("proxy_conn_cache_hits_total", *to, "proto")
        self.proxy_misses = self._counter("proxy_conn_cache_misses_total", *to, "proto")

    def _kubernetes(self) -> None:
        self.programming = self._histogram(
            "kubernetes_dns_programming_duration_seconds", PROGRAMMING_TIMES, "service_kind"
        )
        rest = "kubernetes_rest_client"
        self.rest_durations = self._histogram(
            f"{rest}_request_duration_seconds", REST_TIMES, "verb", "host"
        )
        self.rest_waits = self._histogram(
            f"{rest}_rate_limiter_duration_seconds", REST_TIMES, "verb", "host"
        )
        self.rest_requests = self._counter(f"{rest}_requests_total", "code", "method", "host")
        self.autopath = self._counter("autopath_success_total", "server")
        self.behind = self.registry.gauge(
            "sampan_dns_kubernetes_unsynced_seconds",
            "How long the API server has not been heard; the last known answers are served.",
        )

        self.drift = self.registry.counter(
            "sampan_dns_kubernetes_drift_total",
            "Objects that a watch had lost without a word and a check found.",
        )

    def _smaller(self) -> None:
        self.health_durations = self._histogram("health_request_duration_seconds", SLOW_TIMES)
        self.health_failures = self._counter("health_request_failures_total")
        self.hosts_entries = self._gauge("hosts_entries", "hostsfile")
        self.hosts_reloaded = self._gauge("hosts_reload_timestamp_seconds")
        self.local_requests = self._counter("local_localhost_requests_total")
        self.reload_failures = self._counter("reload_failed_total")
        self.reload_version = self._gauge("reload_version_info", "hash", "value")
        self.acl_blocked = self._counter("acl_blocked_requests_total", *_SITE)
        self.acl_filtered = self._counter("acl_filtered_requests_total", *_SITE)
        self.acl_allowed = self._counter("acl_allowed_requests_total", "server", "view")
        self.acl_dropped = self._counter("acl_dropped_requests_total", *_SITE)
        self.dns64_translated = self._counter("dns64_requests_translated_total", "server")
        self.template_matches = self._counter(
            "template_matches_total", "server", "zone", "view", "class", "type"
        )
        self.template_failures = self._counter(
            "template_template_failures_total",
            "server", "zone", "view", "class", "type", "section", "template",
        )  # fmt: skip
        self.shed = self.registry.counter(
            "sampan_dns_shed_total", "Queries dropped because too many were waiting.", ("server",)
        )

    def _counter(self, name: str, *labels: str) -> Counter:
        return self.registry.counter(f"coredns_{name}", _help(name), labels)

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return self.registry.gauge(f"coredns_{name}", _help(name), labels)

    def _histogram(self, name: str, bounds: Iterable[float], *labels: str) -> Histogram:
        return self.registry.histogram(f"coredns_{name}", _help(name), labels, tuple(bounds))

    def page(self) -> str:
        """Prometheus' text; families that have no value yet are left out."""
        rows = self.registry.render().splitlines()
        kept = [
            row
            for row, after in zip(rows, [*rows[1:], "#"], strict=True)
            if not (row.startswith("# TYPE") and after.startswith("#"))
        ]
        helped = [
            row
            for row, after in zip(kept, [*kept[1:], "#"], strict=True)
            if not (row.startswith("# HELP") and not after.startswith("# TYPE"))
        ]
        return "\n".join(helped) + "\n"


def add(distribution: Distribution, value: float, count: int) -> None:
    """The same observation several times."""
    distribution.counts[bisect_left(distribution.bounds, value)] += count
    distribution.total += value * count


def _help(name: str) -> str:
    words = name.removesuffix("_total").replace("_", " ")
    return f"{words[0].upper()}{words[1:]}."


def merged(pages: list[str]) -> str:
    """Several pages of counters as one: equal series are added up, facts stay facts."""
    if len(pages) == 1:
        return pages[0]
    sums: dict[str, float] = {}
    order: dict[str, None] = {}
    for page in pages:
        for line in page.splitlines():
            name, _, value = line.rpartition(" ")
            if line.startswith("#"):
                order.setdefault(line)
                continue
            order.setdefault(name)
            if "_info" in name.partition("{")[0] or "plugin_enabled" in name:
                sums[name] = float(value)
            else:
                sums[name] = sums.get(name, 0.0) + float(value)
    lines = [key if key.startswith("#") else f"{key} {_number(sums[key])}" for key in order]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
