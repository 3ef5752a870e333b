"""Creates that are cut, refused or interrupted; sources that change; what a call leaves behind."""

import hashlib
import threading
from dataclasses import replace

import orjson
import pytest
from PIL import Image

from reembed.core.records import Settled
from reembed.driver.interrupt import Interrupt
from reembed.driver.lane import UnsettledShard
from reembed.types import Chunk, Position, Recipe
from support.waiting import wait_until

SHARD = "00000000-000000"


@pytest.mark.parametrize("form", ["inline", "file"])
def test_a_create_whose_answer_was_lost_is_found_again_and_paid_once(site, form):
    run = site(10, batch={"input": form, "list_lag_seconds": 0.1})
    run.faults({"on": "batches.create", "do": "cut_after", "nth": 1})
    settled = run.drive()[SHARD]
    assert (len(run.jobs()), run.billed()) == (1, 11)
    assert (settled.rows, settled.jobs) == (10, 1)
    created = run.context().ledger.look(SHARD).created["0"]
    assert created.adopted
    assert created.job == run.jobs()[0]["name"]


def test_a_create_that_never_arrived_is_sent_in_the_next_epoch(site):
    run = site(10, batch={"list_lag_seconds": 0.1}, jumps=True)
    run.faults({"on": "batches.create", "do": "cut_before", "nth": 1})
    run.drive()
    assert len(run.jobs()) == 1
    records = run.context().ledger.look(SHARD)
    assert sorted(records.claims["0"]) == [1, 2]
    assert records.voids == frozenset()
    assert records.created["0"].epoch == 2
    # The lower epoch's file as a fence, then the input file of the job that ran.
    assert run.count("files.delete") == 2
    assert run.count("batches.list") >= 3


def test_an_input_that_met_a_429_is_kept_for_the_next_try_of_its_epoch(site):
    run = site(10, jumps=True)
    run.faults(
        {"on": "batches.create", "do": "status", "status": 429, "retry_after": 1, "times": 2}
    )
    context = run.context()
    run.drive(context)
    assert run.count("upload.finalize") == 1
    assert run.count("batches.create") == 3
    records = context.ledger.look(SHARD)
    assert (sorted(records.claims["0"]), records.voids) == ([1], frozenset())
    reservations = context.spend.read()
    # Room is given back for each wait, and taken again; each refusal is told.
    assert (reservations.lines, reservations.usd_nano) == (8, run.plans[0].usd_nano)
    assert [file.name for file in context.service.list_files() if "/re-" in file.name] == []


def test_a_held_input_is_taken_back_on_an_interruption(site):
    run = site(10)
    run.faults({"on": "batches.create", "do": "status", "status": 429, "retry_after": 500})
    watch = threading.Thread(target=_interrupt_when, args=(run, lambda: refusals(run)))
    watch.start()
    context = run.context()
    run.drive(context)
    watch.join()
    assert context.ledger.look(SHARD).voids == {("0", 1)}
    assert [file.name for file in context.service.list_files() if "/re-" in file.name] == []
    assert context.spend.read().live == {}


def test_one_round_that_meets_a_429_gives_everything_back_and_leaves(site):
    run = site(10)
    run.session = replace(run.session, one_round=True)
    run.faults({"on": "batches.create", "do": "status", "status": 429, "retry_after": 500})
    context = run.context()
    run.drive(context, one_round=True)
    assert context.ledger.look(SHARD).voids == {("0", 1)}
    assert [file.name for file in context.service.list_files() if "/re-" in file.name] == []


def test_a_429_without_a_hold_gives_everything_back_and_the_next_epoch_creates(site):
    run = site(10)
    run.faults(
        {"on": "batches.create", "do": "status", "status": 429, "retry_after": 1, "times": 2}
    )
    context = run.context()
    context = replace(context, rules=replace(context.rules, hold_input=0.0))
    run.drive(context)
    assert len(run.jobs()) == 1
    records = context.ledger.look(SHARD)
    assert records.voids == {("0", 1), ("0", 2)}
    assert records.created["0"].epoch == 3
    assert len(records.outcomes) == 1
    reservations = context.spend.read()
    # Three reservations, two of them refused and given back, and the end.
    assert (reservations.lines, reservations.usd_nano) == (8, run.plans[0].usd_nano)
    assert [file.name for file in context.service.list_files() if "/re-" in file.name] == []


def test_a_create_that_is_refused_stops_all_buying(site):
    run = site(12, batch={"max_requests": 6})
    run.faults({"on": "batches.create", "do": "status", "status": 400, "message": "No priority."})
    results = run.drive()
    assert {type(result) for result in results.values()} == {UnsettledShard}
    assert "No priority." in run.halted
    assert run.context().spend.read().usd_nano == 0


def test_a_flaky_service_delays_and_loses_nothing(site):
    run = site(10, jumps=True)
    run.faults(
        *({"on": route, "do": "status", "status": 503, "times": 4} for route in FREE_TO_REPEAT)
    )
    run.drive()
    assert len(run.rows()) == 10
    assert len(run.jobs()) == 1


FREE_TO_REPEAT = ("upload.start", "batches.get", "files.download", "files.delete")


def test_an_input_file_that_cannot_be_deleted_does_not_hold_the_run_up(site):
    run = site(10, jumps=True)
    run.faults({"on": "files.delete", "do": "status", "status": 503})
    settled = run.drive()[SHARD]
    assert isinstance(settled, Settled)


def test_an_interrupted_lane_leaves_at_once_and_the_next_pays_nothing_again(site):
    run = site(40, batch={"max_requests": 17}, emulator={"pending_seconds": 3600.0})
    watch = threading.Thread(target=_interrupt_when, args=(run, lambda: len(run.jobs()) >= 2))
    watch.start()
    results = run.drive()
    watch.join()
    # No job has ended: a lane that waited for one would be here still.
    assert [r.reason for r in results.values()] == ["interrupted"] * 3
    assert len(run.jobs()) >= 2
    run.interrupted = Interrupt()
    late = threading.Thread(target=_end_jobs_once_there_are, args=(run, 3))
    late.start()
    run.drive()
    late.join()
    assert len(run.rows()) == 40
    assert (len(run.jobs()), run.billed()) == (3, 43)
    assert sorted(job["name"] for job in run.jobs())
    reservations = run.context().spend.read()
    assert (reservations.live, reservations.usd_nano) == (
        {},
        sum(plan.usd_nano for plan in run.plans),
    )


def _interrupt_when(run, is_time):
    wait_until(is_time, "the moment of the interruption", every=0.005)
    run.interrupted.set()


def _end_jobs_once_there_are(run, count):
    wait_until(lambda: len(run.jobs()) == count, f"{count} jobs run at once")
    run.advance(3600)


def refusals(run):
    """The 429s that are on record."""
    stats = run.storage.list(run.layout.run(1) + "/spend/")
    kinds = [orjson.loads(run.storage.read(stat.uri))["kind"] for stat in stats]
    return kinds.count("refused")


def test_what_was_not_sent_is_taken_back_on_an_interruption(site):
    # No lease is waited out in this test: the next call would still be waiting.
    run = site(20, batch={"max_requests": 6, "lease_seconds": 36_000.0})
    run.faults({"on": "upload.finalize", "do": "delay", "seconds": 0.5})
    # Two at a time: the first two are sent, the next are on their way.
    watch = threading.Thread(
        target=_interrupt_when, args=(run, lambda: run.count("upload.start") >= 3)
    )
    watch.start()
    context = run.context()
    run.drive(context)
    watch.join()
    live = set(context.spend.read().live)
    for plan in run.plans:
        records = context.ledger.look(plan.shard)
        claimed = {(path, e) for path, epochs in records.claims.items() for e in epochs}
        is_open = bool(claimed - records.voids)
        assert is_open == bool(records.created) == (f"{plan.shard}/0" in live)
    run.interrupted = Interrupt()
    run.faults()
    run.drive()
    assert len(run.rows()) == 20


def test_two_lanes_over_the_same_shards_buy_each_once(site):
    run = site(40, batch={"max_requests": 6}, emulator={"pending_seconds": 0.3})
    other = threading.Thread(target=run.drive)
    other.start()
    run.drive()
    other.join()
    assert len(run.rows()) == 40
    assert run.billed() == 48
    assert len(run.jobs()) == len(run.plans)
    assert len({job["display_name"] for job in run.jobs()}) == len(run.plans)


class SlowUpload:
    """The service, on which an upload takes until something has happened."""

    def __init__(self, service, happened):
        self.service, self.happened = service, happened

    def __getattr__(self, name):
        return getattr(self.service, name)

    def upload(self, path, name, mime_type):
        wait_until(self.happened, "what an upload waits for")
        return self.service.upload(path, name, mime_type)


def renewals(run):
    prefix = run.layout.shard_records(1, SHARD)
    names = [stat.uri.removeprefix(prefix) for stat in run.storage.list(prefix)]
    return sum(name.startswith("0.e1.r") for name in names)


def test_renewals_keep_the_claim_of_a_slow_upload(site):
    run = site(6, batch={"lease_seconds": 0.6})
    run.drive(run.context(SlowUpload(run.service(), lambda: renewals(run) >= 3)))
    context = run.context()
    assert renewals(run) >= 3
    assert context.ledger.look(SHARD).created["0"].epoch == 1


def picture(path, shade):
    Image.new("RGB", (16, 16), (shade, 40, 90)).save(path)
    return path.read_bytes()


def pictures(site_root, storage, shades):
    chunks = []
    for index, shade in enumerate(shades):
        path = site_root / f"{index}.png"
        data = picture(path, shade)
        chunks.append(
            Chunk(
                key=path.name,
                uri=str(path),
                position=Position(index),
                part=0,
                parts=1,
                modality="image",
                mime_type="image/png",
                tokens=258,
                input_bytes=len(data),
                generation=storage.stat(str(path)).generation,
                source_hash=hashlib.sha256(data).hexdigest(),
                content_hash=f"{index:064x}",
                chunker="image/1",
                recipe=Recipe("as_is", "image/png"),
            )
        )
    return chunks


def test_a_source_that_changed_or_vanished_is_a_reject_and_the_rest_goes_on(site, tmp_path, disk):
    chunks = pictures(tmp_path, disk, (10, 60, 110, 160))
    # The same state by the listing, other bytes: told by the hash.
    chunks[3] = replace(chunks[3], source_hash="0" * 64)
    run = site(chunks)
    (tmp_path / "0.png").unlink()
    picture(tmp_path / "1.png", 200)
    settled = run.drive()[SHARD]
    assert [row["key"] for row in run.rows()] == ["2.png"]
    rejects = {reject["key"]: reject for reject in run.rejects()}
    assert {key: reject["reason"] for key, reject in rejects.items()} == {
        "0.png": "source_changed",
        "1.png": "source_changed",
        "3.png": "source_changed",
    }
    assert "plan again" in rejects["0.png"]["message"]
    assert (settled.planned, settled.rows, settled.rejects) == (4, 1, 3)


def test_many_canaries_that_could_not_be_rendered_are_no_lost_keys(site, tmp_path, disk):
    chunks = pictures(tmp_path, disk, range(250))
    # All five originals are among these: 25, 75, 125, 175, 225.
    for n in range(1, 250, 2):
        (tmp_path / f"{n}.png").unlink()
    run = site(chunks, batch={"max_tokens": 500_000})
    assert run.plans[0].canaries == 5
    run.drive()
    assert run.halted == ""
    assert (len(run.rows()), len(run.rejects())) == (125, 125)
    assert len(run.jobs()) == 1


def test_a_shard_of_which_nothing_can_be_sent_costs_nothing(site, tmp_path, disk):
    chunks = pictures(tmp_path, disk, (10, 60))
    run = site(chunks)
    for path in tmp_path.glob("*.png"):
        path.unlink()
    context = run.context()
    settled = run.drive(context)[SHARD]
    assert (settled.rows, settled.rejects, settled.jobs) == (0, 2, 0)
    assert run.outcomes()["000000/0"]["state"] == "NOT_SENT"
    reservations = context.spend.read()
    assert (
        reservations.usd_nano,
        reservations.live,
        reservations.retained_results,
        reservations.lines,
    ) == (
        0,
        {},
        (),
        2,
    )
    assert run.jobs() == []
    assert run.count("upload.start") == 0
