"""Roll-ups as lanes write them: by the last lane of a partition, after a redrive again."""

from dataclasses import replace

from reembed.core.records import Child, Commit, Redrive, Settled
from reembed.driver.lane import Lane
from reembed.driver.progress import Progress
from reembed.driver.session import quotas_of
from reembed.driver.shared_state import SharedStateStore
from reembed.ledger.ledger import Ledger, read_rolled_up
from reembed.ledger.run_dir import RunDir
from reembed.machine.snapshot import root_need
from reembed.runs.redrive import Resend, write_redrive
from support.counting import CountingStorage

PARTITION = "00000000"


def rolled_up(run):
    return [stat.uri.rsplit("/", 1)[1] for stat in run.storage.list(run.layout.rollups(1))]


def drive_some(run, plans):
    context = run.context()
    clock = context.clock
    offset = context.ledger.storage_now() - clock.now()
    shared = SharedStateStore(run.session.run, quotas_of(run.config), clock, offset)
    lane = Lane(context, shared, Progress(context.run_dir, 1, 0), run.interrupted)
    return dict(lane.run(plans))


def test_the_lane_that_settles_the_last_shard_of_a_partition_rolls_it_up(site):
    run = site(40, batch={"max_requests": 17})
    drive_some(run, run.plans[::2])
    assert rolled_up(run) == []
    drive_some(run, run.plans[1::2])
    assert rolled_up(run) == [f"{PARTITION}.g0"]


def test_a_call_after_the_roll_up_reads_it_and_no_record_of_a_shard(site):
    run = site(40, batch={"max_requests": 17})
    before = run.drive()
    storage = CountingStorage(run.storage)
    context = replace(run.context(), ledger=Ledger(RunDir(storage, run.layout), 1, "again"))
    assert run.drive(context) == before
    # The roll-ups and the stop records; the clock twice, for a lane's start and for ages.
    assert dict(storage.counts) == {"list": 2, "read": 1, "now": 2}


def test_what_is_sent_again_is_open_until_the_next_roll_up(site):
    run = site(40, batch={"max_requests": 17})
    run.faults({"job": "*", "do": "fail_rows", "rows": [3], "code": 3})
    first = run.drive()
    assert rolled_up(run) == [f"{PARTITION}.g0"]
    shard = run.plans[0].shard
    ordinal = min(reject["source_index"] for reject in run.rejects())
    sent = Child(ordinals=((ordinal, ordinal + 1),), need=root_need(run.plans[0]))
    commit = Commit(
        number=1, run="r", plan="p", digest="", planned=40, items=40, frozen={}, key_salt="",
        key_hash="",
    )  # fmt: skip
    write_redrive(run.run_dir, commit, 1, [Resend(shard, Redrive(sent=sent, chunks=1))])
    assert not read_rolled_up(run.run_dir, 1).holds(PARTITION)
    run.session = replace(run.session, generation=1)
    again = run.drive()
    assert rolled_up(run) == [f"{PARTITION}.g0", f"{PARTITION}.g1", f"{PARTITION}.g1.open"]
    assert isinstance(again[shard], Settled)
    assert again[shard].generation == 1
    others = {name: result for name, result in again.items() if name != shard}
    assert others == {name: result for name, result in first.items() if name != shard}
    found = dict(run.context().ledger.load(plan.shard for plan in run.plans))
    assert {name: records.settled for name, records in found.items()} == again
