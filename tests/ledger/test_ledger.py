"""Records on disk: the first stands, all is read back, and what cannot be read is refused."""

import os
import time
from dataclasses import replace

import orjson
import pytest

from reembed.core.records import Child, Claim, Created, Need, Outcome, Settled, Unsent
from reembed.errors import RunFailedError
from reembed.ledger.ledger import Ledger
from reembed.machine.snapshot import ShardRecords
from reembed.storage.open import open_storage

# They set or look at files.
ON_DISK = pytest.mark.parametrize("run_dir", ["disk"], indirect=True)


def created(job="batches/1"):
    return Created(job=job, display_name="run/s/0/f", epoch=1, input_file="files/a")


def settled(generation=0, rows=3):
    return Settled(generation=generation, planned=rows, rows=rows, rejects=0)


def test_the_first_claim_of_an_epoch_wins(ledger, shard):
    assert ledger.claim(shard, "0", Claim(holder="me", epoch=1))
    assert not ledger.claim(shard, "0", Claim(holder="you", epoch=1))
    assert ledger.claim(shard, "0", Claim(holder="you", epoch=2))
    claims = ledger.look(shard).claims["0"]
    assert {epoch: claim.holder for epoch, claim in claims.items()} == {1: "me", 2: "you"}


def test_the_first_record_of_each_kind_stands_and_is_given_back(ledger, run_dir, shard):
    other = Ledger(run_dir, 1, "you")
    assert ledger.created(shard, "0", created("batches/1")).job == "batches/1"
    assert other.created(shard, "0", created("batches/2")).job == "batches/1"
    assert ledger.outcome(shard, "0", Outcome(state="SUCCEEDED", job="a", rows=3)).rows == 3
    assert other.outcome(shard, "0", Outcome(state="SUCCEEDED", job="a", rows=4)).rows == 3
    assert ledger.settle(shard, settled(rows=3)).rows == 3
    assert other.settle(shard, settled(rows=4)).rows == 3
    first = Unsent(requests={4: ("source_changed", "it changed")})
    assert ledger.unsent(shard, "0", 1, first) == first
    assert other.unsent(shard, "0", 1, Unsent(requests={})) == first
    assert other.read_unsent(shard, "0", 1) == first
    assert other.read_unsent(shard, "0", 2) == Unsent(requests={})


def test_a_look_reads_back_all_that_was_written(ledger, run_dir, shard):
    ended = Outcome(
        state="SUCCEEDED",
        job="batches/1",
        rows=2,
        children={"0.0": Child(ordinals=((1, 3), (7, 8)), need=Need(tokens=5, jobs=1))},
        tokens={"text": 40},
        delay_seconds=5.0,
    )
    ledger.claim(shard, "0", Claim(holder="me", epoch=1))
    ledger.void(shard, "0", 1, "quota")
    ledger.claim(shard, "0", Claim(holder="me", epoch=2))
    ledger.created(shard, "0", created())
    ledger.outcome(shard, "0", ended)
    ledger.claim(shard, "0.0", Claim(holder="me", epoch=1))
    records = Ledger(run_dir, 1, "you").look(shard)
    assert sorted(records.claims) == ["0", "0.0"]
    assert records.voids == {("0", 1)}
    assert records.created == {"0": created()}
    assert records.outcomes == {"0": ended}
    assert records.settled is None
    # Only a claim that may still lead to a job has an age.
    assert set(records.ages) == {("0.0", 1)}
    assert replace(ledger.load_partition("00000003")[shard], ages={}) == replace(records, ages={})


def test_shards_of_a_partition_are_read_by_one_listing_and_kept_apart(ledger):
    ledger.claim("00000003-000001", "0", Claim(holder="a", epoch=1))
    ledger.claim("00000003-000010", "0", Claim(holder="b", epoch=1))
    ledger.claim("00000004-000001", "0", Claim(holder="c", epoch=1))
    found = ledger.load_partition("00000003", ages=False)
    assert {shard: records.claims["0"][1].holder for shard, records in found.items()} == {
        "00000003-000001": "a",
        "00000003-000010": "b",
    }
    assert ledger.look("00000003-000099") == ShardRecords()


def test_the_newest_generation_counts(ledger, shard):
    ledger.settle(shard, settled(0, rows=3))
    ledger.settle(shard, settled(10, rows=5))
    ledger.settle(shard, settled(9, rows=4))
    assert ledger.look(shard).settled.generation == 10
    found = list(ledger.load([shard, "00000003-000008"], brief=True))
    assert [(name, records.settled.rows) for name, records in found] == [(shard, 5)]
    assert list(ledger.load(["00000003-000008"])) == []


@ON_DISK
def test_age_is_by_the_storages_clock_and_from_the_newest_renewal(ledger, run_dir, shard):
    ledger.claim(shard, "0", Claim(holder="me", epoch=1))
    ledger.claim(shard, "0.0", Claim(holder="me", epoch=1))
    folder = run_dir.layout.shard_records(1, shard)
    old = time.time() - 1000
    os.utime(f"{folder}0.e1.claim", (old, old))
    os.utime(f"{folder}0.0.e1.claim", (old, old))
    ledger.renew(shard, "0.0", 1, 1)
    ages = ledger.look(shard).ages
    assert 999 < ages["0", 1] < 1060
    assert 0 <= ages["0.0", 1] < 60


@ON_DISK
def test_a_claim_from_the_future_has_age_0(ledger, run_dir, shard):
    ledger.claim(shard, "0", Claim(holder="me", epoch=1))
    later = time.time() + 1000
    os.utime(run_dir.layout.shard_records(1, shard) + "0.e1.claim", (later, later))
    assert ledger.look(shard).ages["0", 1] == 0.0


@ON_DISK
def test_reading_the_clock_leaves_nothing(ledger, run_dir):
    before = time.time()
    assert before - 1 <= ledger.storage_now() <= time.time() + 1
    assert list(open_storage().list(run_dir.layout.clock("")))[:1] == []


def test_stop_and_lift_take_turns(ledger):
    assert not ledger.stopped()
    ledger.stop("stop", "enough")
    assert ledger.stopped()
    ledger.stop("stop", "really")
    assert ledger.stopped()
    ledger.stop("lift", "go on")
    assert not ledger.stopped()
    for _ in range(9):
        ledger.stop("stop", "again")
    # The twelfth by number, not by the order of names.
    assert ledger.stopped()


def test_a_stop_and_a_lift_of_one_moment_are_a_stop(ledger, run_dir):
    ledger.stop("stop", "enough")
    lift = run_dir.layout.stops(1) + "lift.1"
    open_storage().create(lift, b"{}")
    assert ledger.stopped()


@pytest.mark.parametrize(
    "data",
    [
        orjson.dumps({"schema": 3, "holder": "me", "epoch": 1}),
        b'{"schema": 2, "holder": "me"',
        b'{"schema": 2, "epoch": 1}',
        b"[]",
        b"",
        b"\xff\xfe",
    ],
    ids=["version", "cut", "field", "list", "empty", "bytes"],
)
def test_a_record_that_cannot_be_read_stops_the_run_and_says_which(ledger, run_dir, shard, data):
    name = run_dir.layout.shard_records(1, shard) + "0.e1.claim"
    open_storage().create(name, data)
    with pytest.raises(RunFailedError, match=r"0\.e1\.claim: not a Claim record") as caught:
        ledger.look(shard)
    assert "use the version that wrote it" in str(caught.value)


def test_a_field_of_a_later_release_is_passed_over(ledger, run_dir, shard):
    name = run_dir.layout.shard_records(1, shard) + "0.e1.claim"
    body = {"schema": 2, "holder": "me", "epoch": 1, "mood": "good"}
    open_storage().create(name, orjson.dumps(body))
    assert ledger.look(shard).claims["0"][1] == Claim(holder="me", epoch=1)


def test_strange_files_among_the_records_are_passed_over(ledger, run_dir, shard):
    open_storage().create(run_dir.layout.shard_records(1, shard) + ".DS_Store", b"?")
    assert ledger.look(shard) == ShardRecords()
