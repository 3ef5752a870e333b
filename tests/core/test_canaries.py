import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.core.canaries import plan_canaries, wire_order


@pytest.mark.parametrize(
    ("requests", "count"),
    [(0, 0), (1, 0), (2, 1), (49, 1), (50, 1), (99, 1), (100, 2), (399, 7), (400, 8), (50_000, 8)],
)
def test_one_in_fifty_at_most_eight_and_one_in_small_jobs(requests: int, count: int) -> None:
    assert len(plan_canaries(requests)) == count


def test_fewer_than_no_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="-1 requests"):
        plan_canaries(-1)


@settings(deadline=None)
@given(st.integers(2, 3000))
def test_twins_are_spread_and_canaries_numbered_behind(requests: int) -> None:
    canaries = plan_canaries(requests)
    ordinals = [canary.ordinal for canary in canaries]
    assert ordinals == list(range(requests, requests + len(canaries)))
    originals = [canary.original for canary in canaries]
    assert originals == sorted(set(originals))
    assert all(0 <= original < requests for original in originals)
    gaps = [b - a for a, b in zip([-1, *originals], [*originals, requests], strict=True)]
    assert max(gaps) <= requests // len(canaries) + 2


@settings(deadline=None)
@given(st.integers(0, 3000))
def test_the_wire_has_every_ordinal_once_and_canaries_far_away(requests: int) -> None:
    canaries = plan_canaries(requests)
    order = wire_order(requests, canaries)
    assert sorted(order) == list(range(requests + len(canaries)))
    assert [ordinal for ordinal in order if ordinal < requests] == list(range(requests))
    place = {ordinal: index for index, ordinal in enumerate(order)}
    for canary in canaries:
        assert abs(place[canary.ordinal] - place[canary.original]) >= requests // 2


def test_the_plan_is_the_same_each_time() -> None:
    assert plan_canaries(6500) == plan_canaries(6500)
    assert [c.original for c in plan_canaries(200)] == [25, 75, 125, 175]
    assert wire_order(2, plan_canaries(2)) == [0, 1, 2]
    assert wire_order(5, plan_canaries(5)) == [0, 1, 2, 3, 5, 4]


def test_no_rotation_of_an_answer_goes_unseen() -> None:
    for requests in (*range(2, 60), 99, 100, 149, 150, 151):
        canaries = plan_canaries(requests)
        original_of = {canary.ordinal: canary.original for canary in canaries}
        content = [original_of.get(n, n) for n in wire_order(requests, canaries)]
        place = {n: at for at, n in enumerate(wire_order(requests, canaries))}
        for turn in range(1, len(content)):
            answered = content[turn:] + content[:turn]
            pairs = [(answered[place[c.ordinal]], answered[place[c.original]]) for c in canaries]
            assert any(one != other for one, other in pairs), (requests, turn)
