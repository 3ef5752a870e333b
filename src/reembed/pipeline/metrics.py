"""Our Beam metrics of a pipeline that has ended, read back and logged."""

from __future__ import annotations

import logging
from typing import Any

from apache_beam.metrics.metric import MetricsFilter

from reembed.transforms.metrics import EMBED, PLAN

logger = logging.getLogger("reembed.metrics")


def metrics_of(result: Any) -> dict[str, dict[str, int]]:
    """Numbers by namespace and name, added up over steps; of a distribution its maximum.

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
    """Log our metrics; an engine that does not give them is no reason to fail."""
    try:
        found = metrics_of(result)
    except Exception as err:  # engines ask servers of theirs, and raise what those do
        logger.warning("the engine does not give its metrics: %s", err)
        return
    for namespace, numbers in found.items():
        words = ", ".join(f"{name} {number}" for name, number in numbers.items())
        logger.info("%s: %s", namespace, words, extra={"event": "metrics", "counts": numbers})
