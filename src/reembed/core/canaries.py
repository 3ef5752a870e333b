"""Canaries: requests that a job sends twice, far from each other, so that mixed-up keys show.

A key join cannot see an answer whose lines carry each other's keys. Two requests of equal content
must have equal vectors, so where they differ, keys have moved. Canaries are part of the plan and of
its price from the start. Attempts after the first have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

REQUESTS_PER_CANARY = 50
MAX_CANARIES = 8


@dataclass(frozen=True, slots=True)
class Canary:
    """Request with the number `ordinal` that repeats the content of the request `original`."""

    ordinal: int
    original: int


def canary_count(n_requests: int) -> int:
    """Count the canaries of a job of `n_requests`: none under two, then 1 for 50, from 1 to 8.

    A job of one request has none: a permutation of one answer changes nothing, and the canary
    would double the price.

    Raises:
        ValueError: `n_requests` is negative.
    """
    if n_requests < 0:
        raise ValueError(f"a job of {n_requests} requests: give 0 or more")
    if n_requests < 2:
        return 0
    return min(MAX_CANARIES, max(1, n_requests // REQUESTS_PER_CANARY))


def plan_canaries(n_requests: int) -> tuple[Canary, ...]:
    """Choose the canaries of a job of `n_requests`, `canary_count` of them.

    Originals stand in the middle of equal runs of ordinals, so that every run of
    ``n_requests / count`` neighbours holds one.

    Args:
        n_requests: ordinals ``0 … n_requests - 1`` are the requests themselves.

    Returns:
        Canaries with the ordinals that follow the requests', originals ascending and distinct.

    Raises:
        ValueError: `n_requests` is negative.
    """
    count = canary_count(n_requests)
    return tuple(
        Canary(ordinal=n_requests + k, original=(2 * k + 1) * n_requests // (2 * count))
        for k in range(count)
    )


def wire_order(n_requests: int, canaries: Sequence[Canary]) -> list[int]:
    """Order the ordinals on the wire: requests ascending, canaries far from their originals.

    A canary stands half of the job away from its original (at least ``n_requests // 2`` lines), so
    that a fault in one stretch of the answer cannot reach both. A lone one never stands at
    exactly half of the lines: a rotation by that would swap it with its original, unseen.

    Args:
        n_requests: requests of the job without canaries.
        canaries: as `plan_canaries` made them.

    Returns:
        A permutation of ``0 … n_requests + len(canaries) - 1``.
    """
    before: dict[int, list[int]] = {}
    half = n_requests // 2 if len(canaries) == 1 else (n_requests + 1) // 2
    for canary in canaries:
        place = (canary.original + half) % (n_requests + 1)
        before.setdefault(place, []).append(canary.ordinal)
    order: list[int] = []
    for ordinal in range(n_requests):
        order.extend(before.get(ordinal, ()))
        order.append(ordinal)
    order.extend(before.get(n_requests, ()))
    return order
