"""Which cases there are: every request and every write that an undisturbed run makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kills.cases import Case, Verdict
from kills.points import REQUEST_HOWS, WRITE_HOWS, Point

# Of a kind that comes as often as time passes, so many are killed.
_MOST = {"get": 8, "list": 4, "progress": 2, "renewal": 4}
# A call that was killed here leaves the most to find out: its resume is killed at all points too.
_WORST = Point("request", "create", 1, "after")
_WITHOUT_BODY = ("get", "list", "download", "delete", "other")


def points_of(verdict: Verdict) -> Iterator[Point]:
    """Both or all sides of each request and each write that a call made."""
    for kind, count in sorted(verdict.requests.items()):
        for nth in range(1, min(count, _MOST.get(kind, count)) + 1):
            for how in REQUEST_HOWS:
                if how != "midway" or kind not in _WITHOUT_BODY:
                    yield Point("request", kind, nth, how)
    for kind, count in sorted(verdict.writes.items()):
        for nth in range(1, min(count, _MOST.get(kind, count)) + 1):
            for how in WRITE_HOWS:
                yield Point("write", kind, nth, how)


def cases_of(verdict: Verdict) -> Iterator[Case]:
    """The matrix of a scenario, from its undisturbed run."""
    case = verdict.case
    for point in points_of(verdict):
        yield Case(case.scenario, (point,), case.fast, case.plant)


def worst_of(verdict: Verdict) -> Case:
    """The case whose resume has the most to do; run it with an unreachable second point."""
    case = verdict.case
    return Case(case.scenario, (_WORST, Point("request", "none", 1, "before")), case.fast)


def resume_cases_of(verdict: Verdict) -> Iterator[Case]:
    """From the run of `worst_of`: the same, and its resume killed at each point of it."""
    case = verdict.case
    for point in points_of(verdict):
        yield Case(case.scenario, (_WORST, point), case.fast)


def spread(cases: Mapping[str, list[Case]], size: int) -> list[Case]:
    """A part of all cases, always the same: each (kind, side) once, then evenly more of the rest.

    Args:
        cases: by scenario, the quickest scenarios first: a kind is taken where it comes first.
        size: how many at least, where there are as many.
    """
    chosen: list[Case] = []
    rest: list[Case] = []
    seen: set[tuple[str, str]] = set()
    for case in (case for group in cases.values() for case in group):
        spot = (case.points[-1].kind, case.points[-1].how)
        (rest if spot in seen else chosen).append(case)
        seen.add(spot)
    more = max(0, size - len(chosen))
    step = max(1, len(rest) // more) if more else 1
    return chosen + (rest[::step][:more] if more else [])
