import pytest

from reembed.core.records import (
    Child,
    Claim,
    Commit,
    Created,
    Need,
    Outcome,
    Renewal,
    ReservationLine,
    RolledAttempt,
    RolledShard,
    Rollup,
    RollupReopened,
    RunPublished,
    RunRedrive,
    RunSettled,
    Settled,
    StopLift,
    StopRequest,
    StuckJob,
    Unsent,
    Void,
)
from reembed.errors import RunFailedError

SETTLED = Settled(generation=1, planned=5, rows=3, rejects=2, tokens={"text": 9}, part="/p")
ENDED = {"0": RolledAttempt(state="FAILED", job="b"), "0.0": RolledAttempt(state="NOT_SENT")}
ALL = [
    Claim(holder="me", epoch=3),
    Renewal(holder="me"),
    Void(reason="quota: später"),
    Unsent(requests={7: ("source_changed", "it changed"), 12: ("x", "y")}),
    Created(job="batches/1", display_name="r/s/0/f", epoch=2, adopted=True),
    Outcome(
        state="SUCCEEDED",
        job="b",
        children={"0.0": Child(ordinals=((0, 3), (9, 10)), need=Need(usd_nano=2**60))},
        tokens={"audio": 4},
        delay_seconds=20.0,
    ),
    SETTLED,
    ReservationLine(kind="end", attempt="s/0", epoch=1, retained_until=5.5, total_usd_nano=2**62),
    StopRequest(reason="enough"),
    StopLift(reason="more"),
    StuckJob(),
    RollupReopened(),
    RunRedrive(),
    RunPublished(),
    Rollup(generation=1, shards={"00000000-000001": RolledShard(settled=SETTLED, attempts=ENDED)}),
    RunSettled(shards=2, rows=3, rejects=2, jobs=4),
    Commit(
        number=1, run="r", plan="p", digest="d", planned=5, items=2, frozen={"a": {"b": [1]}},
        key_salt="s", key_hash="h",
    ),
]  # fmt: skip


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was_written(record):
    data = record.encode()
    assert b'"schema":2' in data
    assert type(record).decode(data, "name") == record
    assert type(record).decode(data, "name").encode() == data


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_a_record_of_another_version_is_refused(record):
    data = record.encode().replace(b'"schema":2', b'"schema":3')
    kind = type(record).__name__
    with pytest.raises(RunFailedError, match=f"some/name: not a {kind} record that reembed can"):
        type(record).decode(data, "some/name")


def test_the_same_values_are_the_same_bytes_whatever_their_order():
    one = Settled(generation=0, planned=1, rows=1, rejects=0, tokens={"a": 1, "b": 2})
    two = Settled(generation=0, planned=1, rows=1, rejects=0, tokens={"b": 2, "a": 1})
    assert one.encode() == two.encode()
