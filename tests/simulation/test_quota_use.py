"""While there is work, nearly all of the quota that binds is reserved."""

from __future__ import annotations

import pytest

from simulation.quota_use import Scenario, measure

SCENARIOS = {
    "large chunks": Scenario(shards=40, largest_chunk=8192),
    "three processes": Scenario(shards=60, processes=3),
    "below it, three processes": Scenario(shards=40, real=300_000, processes=3),
    "far below it, two processes": Scenario(shards=15, real=70_000, processes=2),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_the_binding_quota_is_used_while_there_is_work(name: str) -> None:
    scenario = SCENARIOS[name]
    use = measure(scenario)
    assert use.reserved >= 0.95, use
    assert use.peak <= scenario.real
    # Every shard is settled, whatever was refused on the way.
    assert use.settled >= scenario.shards, use
    assert bool(use.refusals) == (scenario.real < 500_000)
