"""Counters, gauges and histograms, and the Prometheus text that a `/metrics` page is made of.

One registry per component, handed in; no global one. A metric without labels is used directly
(`ready.set(1)`), one with labels through `labels(...)`, whose result is worth keeping on hot paths.
"""

from __future__ import annotations

import os
import resource
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Value:
    """One time series of a counter or gauge."""

    __slots__ = ("_read", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._read: Callable[[], float] | None = None

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount

    def dec(self, amount: float = 1.0) -> None:
        self.value -= amount

    def set(self, value: float) -> None:
        self.value = value

    def read_from(self, read: Callable[[], float]) -> None:
        """Ask `read` at every scrape instead of keeping a number."""
        self._read = read

    def lines(self, name: str, labels: str) -> list[str]:
        value = self._read() if self._read else self.value
        return [f"{name}{_braces(labels)} {_number(value)}"]


class Distribution:
    """One time series of a histogram."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str) -> list[str]:
        rows = []
        running = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            edge = f'le="{_number(bound)}"'
            inner = f"{labels},{edge}" if labels else edge
            rows.append(f"{name}_bucket{{{inner}}} {running}")
        rows.append(f"{name}_sum{_braces(labels)} {_number(self.total)}")
        rows.append(f"{name}_count{_braces(labels)} {running}")
        return rows


Series = TypeVar("Series", Value, Distribution)


class Family(Generic[Series]):
    """A metric name with its time series, one for each combination of label values."""

    def __init__(
        self, head: tuple[str, str, str], labels: Sequence[str], make: Callable[[], Series]
    ) -> None:
        self.name, self.kind, self.help = head
        self._labels = tuple(labels)
        self._make: Callable[[], Series] = make
        self._series: dict[tuple[str, ...], Series] = {}
        if not self._labels:
            self._series[()] = make()

    def labels(self, *values: str) -> Series:
        """The time series with these label values, made when it is new."""
        found = self._series.get(values)
        if found is None:
            if len(values) != len(self._labels):
                raise ValueError(f"{self.name} takes the labels {self._labels}, got {values}")
            found = self._series[values] = self._make()
        return found

    def remove(self, *values: str) -> None:
        """Forget one time series; what it measured is gone."""
        self._series.pop(values, None)

    def render(self) -> list[str]:
        rows = [f"# HELP {self.name} {self.help}", f"# TYPE {self.name} {self.kind}"]
        for values, series in sorted(self._series.items(), key=lambda item: item[0]):
            pairs = zip(self._labels, values, strict=True)
            inner = ",".join(f'{label}="{_escaped(value)}"' for label, value in pairs)
            rows += series.lines(self.name, inner)
        return rows


class Counter(Family[Value]):
    """Only grows."""

    def inc(self, amount: float = 1.0) -> None:
        self.labels().inc(amount)


class Gauge(Family[Value]):
    """Goes up and down."""

    def set(self, value: float) -> None:
        self.labels().set(value)

    def inc(self, amount: float = 1.0) -> None:
        self.labels().inc(amount)

    def dec(self, amount: float = 1.0) -> None:
        self.labels().dec(amount)

    def read_from(self, read: Callable[[], float]) -> None:
        self.labels().read_from(read)


class Histogram(Family[Distribution]):
    """Counts observations by size."""

    def observe(self, value: float) -> None:
        self.labels().observe(value)


class Registry:
    """What one `/metrics` page shows, in the order of registration."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Value] | Family[Distribution]] = {}

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        family = Counter((name, "counter", help_text), labels, Value)
        self._add(family)
        return family

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        family = Gauge((name, "gauge", help_text), labels, Value)
        self._add(family)
        return family

    def histogram(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY_BUCKETS,
    ) -> Histogram:
        bounds = tuple(buckets)
        family = Histogram((name, "histogram", help_text), labels, lambda: Distribution(bounds))
        self._add(family)
        return family

    def known_counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """The counter of this name, registered by whoever comes first."""
        found = self._families.get(name)
        return found if isinstance(found, Counter) else self.counter(name, help_text, labels)

    def known_gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        found = self._families.get(name)
        return found if isinstance(found, Gauge) else self.gauge(name, help_text, labels)

    def known_histogram(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Histogram:
        found = self._families.get(name)
        return found if isinstance(found, Histogram) else self.histogram(name, help_text, labels)

    def process(self) -> None:
        """The usual figures about this process."""
        cpu = self.counter("process_cpu_seconds_total", "User and system CPU time, in seconds.")
        cpu.labels().read_from(_cpu_seconds)
        memory = self.gauge("process_resident_memory_bytes", "Resident memory, in bytes.")
        memory.read_from(_resident_bytes)
        virtual = self.gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.")
        virtual.read_from(_virtual_bytes)
        files = self.gauge("process_open_fds", "Open file descriptors.")
        files.read_from(lambda: float(len(os.listdir("/proc/self/fd"))))
        most = self.gauge("process_max_fds", "How many file descriptors may be open.")
        most.read_from(lambda: float(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
        since = self.gauge("process_start_time_seconds", "When the process began, in Unix time.")
        since.set(_started())

    def build(self, version: str) -> None:
        """`kubernetes_build_info`, as dashboards list components by it."""
        info = self.gauge(
            "kubernetes_build_info", "The version of this component.",
            ("git_version", "major", "minor", "platform"),
        )  # fmt: skip
        major, minor, _ = f"{version}..".split(".", 2)
        info.labels(f"v{version}", major, minor, f"linux/{os.uname().machine}").set(1)

    def render(self) -> str:
        """The page, in Prometheus' text format 0.0.4."""
        rows = [row for family in self._families.values() for row in family.render()]
        return "\n".join(rows) + "\n" if rows else ""

    def _add(self, family: Family[Value] | Family[Distribution]) -> None:
        if family.name in self._families:
            raise ValueError(f"{family.name} is registered already")
        self._families[family.name] = family


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _virtual_bytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return float(int(file.read().split()[0]) * resource.getpagesize())


def _started() -> float:
    """By the kernel's book: since boot, in clock ticks."""
    with open("/proc/self/stat", encoding="ascii") as file:
        ticks = float(file.read().rpartition(")")[2].split()[19])
    up_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - up_s + ticks / os.sysconf("SC_CLK_TCK")


def _resident_bytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return float(int(file.read().split()[1]) * resource.getpagesize())


def _braces(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
