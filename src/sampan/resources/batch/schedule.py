"""Cron schedules: five fields or a descriptor, with upstream's words for what is wrong.

    minute hour day-of-month month day-of-week        * , - / and names of months and days
    @hourly @daily @midnight @weekly @monthly @yearly @annually @every 1h30m

`parse` gives the sets of minutes, hours, ... (or an interval); `following` the next time that fits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta


class ScheduleError(ValueError):
    """The text is no schedule; the message says why."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a CronJob is due; with `every` the fields do not count."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = True
    """Whether day-of-month or day-of-week is `*`: then both must fit, else one is enough."""
    every: timedelta | None = None

    def following(self, after: datetime) -> datetime | None:
        """The first due time later than `after` (in its time zone), None when there is none in
        five years.
        """
        if self.every is not None:
            return after.replace(microsecond=0) + self.every
        due = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
        last = after.year + 5
        while due.year <= last:
            if due.month not in self.months:
                due = _next_month(due)
            elif not self._day_fits(due):
                due = due.replace(hour=0, minute=0) + timedelta(days=1)
            elif due.hour not in self.hours:
                due = due.replace(minute=0) + timedelta(hours=1)
            elif due.minute not in self.minutes:
                due += timedelta(minutes=1)
            else:
                return due
        return None

    def _day_fits(self, due: datetime) -> bool:
        by_month, by_week = due.day in self.days, due.isoweekday() % 7 in self.weekdays
        return (by_month and by_week) if self.any_day else (by_month or by_week)


def _next_month(due: datetime) -> datetime:
    first = due.replace(day=1, hour=0, minute=0)
    return (first + timedelta(days=32)).replace(day=1)


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: int
    high: int
    names: tuple[str, ...] = ()


_MONTHS = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
)  # fmt: skip
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (
    _Bounds(0, 59), _Bounds(0, 23), _Bounds(1, 31), _Bounds(1, 12, _MONTHS),
    _Bounds(0, 6, _WEEKDAYS),
)  # fmt: skip
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_ZONE = re.compile(r"^(?:TZ|CRON_TZ)=(\S*)\s*")


def parse(text: str) -> Schedule:
    """The schedule; a `TZ=` prefix of old objects is skipped. Raises `ScheduleError`."""
    if not text:
        raise ScheduleError("empty spec string")
    bare = _ZONE.sub("", text).strip()
    if bare.startswith("@every "):
        return Schedule(every=_interval(bare.removeprefix("@every ")))
    if bare.startswith("@"):
        if bare not in _DESCRIPTORS:
            raise ScheduleError(f"unrecognized descriptor: {bare}")
        bare = _DESCRIPTORS[bare]
    fields = bare.split()
    if len(fields) != len(_FIELDS):
        shown = " ".join(fields)
        raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{shown}]")
    minutes, hours, days, months, weekdays = map(_field, fields, _FIELDS)
    starred = _is_star(fields[2]) or _is_star(fields[4])
    return Schedule(minutes, hours, days, months, weekdays, any_day=starred)


def _is_star(field: str) -> bool:
    """`*` and `*/1`; a real step restricts the day."""
    return any(part.partition("/")[0] in "*?" and _step(part) <= 1 for part in field.split(","))


def _step(part: str) -> int:
    step = part.partition("/")[2]
    return int(step) if step.isdigit() else 1


def _field(field: str, bounds: _Bounds) -> frozenset[int]:
    return frozenset(value for part in field.split(",") if part for value in _range(part, bounds))


def _range(part: str, bounds: _Bounds) -> range:
    ends, *steps = part.split("/")
    low, *highs = ends.split("-")
    if low in ("*", "?"):
        start, end = bounds.low, bounds.high
    else:
        start = end = _number(low, bounds.names)
        if len(highs) == 1:
            end = _number(highs[0], bounds.names)
        elif highs:
            raise ScheduleError(f"too many hyphens: {part}")
    if len(steps) > 1:
        raise ScheduleError(f"too many slashes: {part}")
    step = _number(steps[0], ()) if steps else 1
    if steps and not highs:
        end = bounds.high  # `5/15` means "from 5 on, every 15".
    _check(part, (start, end, step), bounds)
    return range(start, end + 1, step)


def _check(part: str, span: tuple[int, int, int], bounds: _Bounds) -> None:
    start, end, step = span
    if start < bounds.low:
        raise ScheduleError(f"beginning of range ({start}) below minimum ({bounds.low}): {part}")
    if end > bounds.high:
        raise ScheduleError(f"end of range ({end}) above maximum ({bounds.high}): {part}")
    if start > end:
        says = f"beginning of range ({start}) beyond end of range ({end}): {part}"
        raise ScheduleError(says)
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {part}")


def _number(text: str, names: tuple[str, ...]) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + (1 if names is _MONTHS else 0)
    if not re.fullmatch("[+-]?[0-9]+", text):
        says = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ScheduleError(f"failed to parse int from {text}: {says}")
    if int(text) < 0:
        raise ScheduleError(f"negative number ({int(text)}) not allowed: {text}")
    return int(text)


def _interval(text: str) -> timedelta:
    parts = re.findall(r"([0-9]*\.?[0-9]+)(h|ms|us|µs|ns|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        says = f'time: invalid duration "{text}"'
        raise ScheduleError(f"failed to parse duration @every {text}: {says}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return timedelta(seconds=max(1, int(seconds)))
