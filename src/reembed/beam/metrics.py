"""Beam metrics of lanes and plan steps, counted on any runner and read back at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import MetricsFilter

from reembed.core.plans import PlanTotals
from reembed.driver.events import Event, LaneObserver

EMBED, PLAN = "reembed.embed", "reembed.plan"
# A distribution, since not every runner has gauges: its maximum is the oldest age of all.
PENDING, PENDING_NOW = "oldest_pending_seconds", "oldest_pending_seconds_now"


class LaneMetrics:
    """Watch of a lane that counts for Beam; used on the thread of the bundle alone.

    Beam finds the bundle by its thread, and the threads of a lane's pool belong to none.
    """

    def on_event(self, event: Event) -> None:
        """Add an event's numbers to the counters of their names."""
        count(EMBED, event.counts)

    def on_oldest_pending(self, seconds: int) -> None:
        """Keep how old the oldest pending job is."""
        Metrics.distribution(EMBED, PENDING).update(seconds)
        Metrics.gauge(EMBED, PENDING_NOW).set(seconds)


class OnBundleThread:
    """Watch of a lane in a thread of its own: passes events on to the thread of the bundle.

    Args:
        watch: receives the events.
        call: calls a function on the thread of the bundle.
    """

    def __init__(self, watch: LaneObserver, call: Callable[[Callable[[], None]], None]) -> None:
        self._watch, self._call = watch, call

    def on_event(self, event: Event) -> None:
        """Pass an event on."""
        self._call(partial(self._watch.on_event, event))

    def on_oldest_pending(self, seconds: int) -> None:
        """Pass an age on."""
        self._call(partial(self._watch.on_oldest_pending, seconds))


def count(namespace: str, numbers: Mapping[str, int]) -> None:
    """Add numbers to counters; adding 0 makes a counter visible."""
    for name, number in numbers.items():
        Metrics.counter(namespace, name).inc(number)


def count_partition(totals: PlanTotals, usd_nano: int) -> None:
    """Count a packed partition.

    Args:
        totals: of the partition.
        usd_nano: the most that its shards cost, in billionths of a dollar.
    """
    count(
        PLAN,
        {
            "shards": totals.shards,
            "jobs": totals.jobs,
            "requests": totals.requests,
            "shared": totals.shared,
            "canaries": totals.canaries,
            "rejects": totals.rejects,
            "tokens": totals.all_tokens,
            "input_bytes": totals.input_bytes,
            "planned_nano_usd": usd_nano,
        },
    )


logger = logging.getLogger("reembed.metrics")


def metrics_of(result: Any) -> dict[str, dict[str, int]]:
    """Read numbers by namespace and name, added up over steps; of a distribution its maximum.

    Args:
        result: of a Beam pipeline.
    """
    found: dict[str, dict[str, int]] = {}
    for namespace in (EMBED, PLAN):
        metrics = result.metrics().query(MetricsFilter().with_namespace(namespace))
        numbers: dict[str, int] = {}
        for one in metrics["counters"]:
            name = one.key.metric.name
            numbers[name] = numbers.get(name, 0) + one.result
        for one in metrics["distributions"]:
            name, highest = one.key.metric.name, one.result.max
            numbers[name] = max(numbers.get(name, 0), highest or 0)
        if numbers:
            found[namespace] = dict(sorted(numbers.items()))
    return found


def log_metrics(result: Any) -> None:
    """Log the metrics of a pipeline; failing to get them does not fail the run."""
    try:
        found = metrics_of(result)
    except Exception as err:  # engines ask servers of theirs, and raise what those do
        logger.warning("the engine does not give its metrics: %s", err)
        return
    for namespace, numbers in found.items():
        words = ", ".join(f"{name} {number}" for name, number in numbers.items())
        logger.info("%s: %s", namespace, words, extra={"event": "metrics", "counts": numbers})
