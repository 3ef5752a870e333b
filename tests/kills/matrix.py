"""Which cases there are: every request and every write that an undisturbed run makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kills.cases import Case, Verdict
from kills.points import REQUEST_HOWS, WRITE_HOWS, Point

# Of a kind that comes as often as time passes, so many are killed.
_MOST = {"get": 8, "list": 4, "progress": 2, "renewal": 4}
# What other scenarios do only on a slow machine; here it is sure to happen.
_AT_HOME = {"void": "refused", "spend void": "quota", "renewal": "slow"}
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


def spread(cases: Mapping[str, list[Case]], more: int) -> list[Case]:
    """A part of all cases, always the same: each kind on each side once, and some of the rest.

    Args:
        cases: by scenario, the quickest scenarios first: a kind is taken where it comes first.
        more: how many of the rest of each scenario, evenly.
    """
    chosen: list[Case] = []
    seen: set[tuple[str, str]] = set()
    for name, group in cases.items():
        rest: list[Case] = []
        for case in group:
            kind, how = case.points[-1].kind, case.points[-1].how
            if (kind, how) in seen or _AT_HOME.get(kind, name) != name:
                rest.append(case)
                continue
            chosen.append(case)
            seen.add((kind, how))
        chosen += rest[:: max(1, len(rest) // more)][:more]
    return chosen
