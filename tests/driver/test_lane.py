"""Whole runs of a lane against the emulator: what comes out, what is paid, what is asked."""

import threading
from dataclasses import replace

import orjson
import pytest

from reembed.core.records import Settled
from reembed.driver.lane import UnsettledShard
from reembed.ledger.ledger import Ledger
from reembed.ledger.reservation_log import ReservationLog
from support.waiting import wait_until

KEYS_40 = [f"doc-{index:05}" for index in range(40)]


def test_a_run_writes_every_row_in_order_and_a_second_call_asks_for_nothing(site):
    run = site(40, batch={"max_requests": 17})
    results = run.drive()
    assert all(isinstance(result, Settled) for result in results.values())
    rows = run.rows()
    assert [row["key"] for row in rows] == KEYS_40
    assert {row["attempt"] for row in rows} == {"0"}
    assert len({tuple(row["embedding"]) for row in rows}) == 40
    assert run.rejects() == []
    # 3 shards of up to 16 requests and one canary each.
    assert sorted(job["total"] for job in run.jobs()) == [9, 17, 17]
    asked = run.count("batches.create"), run.count("batches.get"), run.count("files.download")
    again = run.drive()
    assert again == results
    assert (
        run.count("batches.create"),
        run.count("batches.get"),
        run.count("files.download"),
    ) == asked
    assert run.billed() == 43


def test_input_files_and_scratch_files_are_gone_at_the_end(site):
    run = site(40, batch={"max_requests": 17})
    context = run.context()
    run.drive(context)
    assert run.count("files.delete") == 3
    assert [file.name for file in context.service.list_files() if "/re-" in file.name] == []
    assert list(context.scratch.iterdir()) == []


def test_the_spend_log_holds_the_money_and_nothing_else_at_the_end(site):
    run = site(40, batch={"max_requests": 17})
    context = run.context()
    run.drive(context)
    reservations = context.spend.read()
    assert reservations.live == {}
    assert reservations.usd_nano == sum(plan.usd_nano for plan in run.plans) > 0
    assert len(reservations.retained_results) == 3
    assert reservations.lines == 6


@pytest.mark.parametrize(
    "form", [{"input": "inline"}, {"input": "file"}], ids=lambda form: form["input"]
)
def test_both_forms_give_the_same_rows(site, form):
    run = site(20, batch=form)
    run.drive()
    assert [row["key"] for row in run.rows()] == KEYS_40[:20]
    assert {job["kind"] for job in run.jobs()} == {form["input"]}
    assert run.count("upload.start") == (1 if form["input"] == "file" else 0)


def test_auto_goes_inline_only_where_a_live_check_saw_the_metadata_come_back(site):
    run = site(20, batch={"input": "auto"})
    run.drive()
    assert {job["kind"] for job in run.jobs()} == {"file"}
    run = site(20, batch={"input": "auto"})
    seen = {"inline_keys": True, "base_url": run.config.service.base_url}
    run.storage.put(run.layout.doctor(), orjson.dumps(seen))
    run.drive()
    assert {job["kind"] for job in run.jobs()} == {"inline"}


def test_polls_follow_the_growing_interval(site):
    run = site(4, emulator={"pending_seconds": 3600.0}, batch={"poll_seconds": [0.1, 1.0]})

    def end_the_job_after_a_while():
        if clock.at > 1.5:
            run.advance(3600)
            run.wait_for_ends()

    clock = run.jump(end_the_job_after_a_while)
    run.drive()
    # At 0, 0.1, 0.25, 0.475, 0.81, 1.32, 2.1: seven polls, and one get before the download.
    assert run.count("batches.get") == 8


def test_one_lane_keeps_many_jobs_running_at_once(site):
    run = site(60, emulator={"pending_seconds": 3600.0}, batch={"max_requests": 6})
    # No job ends before all are there.
    ends = threading.Thread(target=_end_jobs_once_there_are, args=(run, 12))
    ends.start()
    settled = run.drive()
    ends.join()
    assert len(settled) == 12


def _end_jobs_once_there_are(run, count):
    wait_until(lambda: len(run.jobs()) >= count, f"{count} jobs run at once")
    assert len(run.jobs()) == count
    run.advance(3600)


def test_the_quota_of_jobs_is_kept_and_used(site):
    run = site(30, batch={"max_requests": 6, "concurrent_jobs": 2})
    run.drive()
    assert len(run.rows()) == 30
    assert run.count("batches.create") == 6
    spans = sorted((job["created"], job["ended"]) for job in run.jobs())
    most = max(sum(1 for a, b in spans if a <= at < b) for at, _ in spans)
    assert most == 2


def test_the_cap_stops_before_it_is_passed(site):
    free = site(40, batch={"max_requests": 17})
    price = sum(plan.usd_nano for plan in free.plans)
    first = free.plans[0].usd_nano
    run = site(40, batch={"max_requests": 17}, budget={"max_usd": (price - first / 2) / 1e9})
    results = run.drive()
    left = [result for result in results.values() if isinstance(result, UnsettledShard)]
    assert [result.reason for result in left] == ["the budget is used up"]
    assert len(run.jobs()) == 2
    reservations = run.context().spend.read()
    assert reservations.usd_nano <= run.config.budget.max_usd * 1e9
    # Nothing changes by trying again.
    run.drive()
    assert len(run.jobs()) == 2
    assert run.context().spend.read() == reservations


def test_a_stop_lets_running_jobs_end_and_buys_no_more(site):
    run = site(12, batch={"max_requests": 6, "concurrent_jobs": 1})
    context = run.context()

    def stop(shard, result):
        if isinstance(result, Settled):
            context.ledger.stop("stop", "enough")

    results = run.drive(context, each=stop)
    bought = len(run.jobs())
    assert bought < len(run.plans)
    # What was never sent is settled as rejects, so that a scheduler does not buy it later.
    assert all(isinstance(result, Settled) for result in results.values())
    stopped = [row for row in run.rejects() if row["reason"] == "stopped"]
    assert len(run.rows()) + len(stopped) == 12
    run.drive()
    assert len(run.jobs()) == bought


def test_progress_is_told_and_decides_nothing(site):
    run = site(40, batch={"max_requests": 17})
    run.drive()
    name = run.layout.progress(1, 0)
    note = orjson.loads(run.storage.read(name))
    assert note["chunks_done"] == note["rows"] == 40
    assert note["shards"] == {"settled": 3}
    assert note["usd_nano"] > 0
    run.storage.put(name, b"not a note")
    assert len(run.drive()) == 3


def test_the_log_is_read_after_the_records_whose_reservations_it_must_hold(site):
    run = site(4)
    asked = []

    class Records(Ledger):
        def load(self, shards, ages=False, brief=False):
            asked.append("records")
            return super().load(shards, ages)

    class Log(ReservationLog):
        def read(self):
            asked.append("log")
            return super().read()

    context = run.context()
    ledger = Records(context.run_dir, 1, "me")
    run.drive(replace(context, ledger=ledger, spend=Log(context.run_dir, 1)))
    assert asked[:2] == ["records", "log"]


def test_one_reading_of_the_log_is_for_all_shards_that_wait(site):
    batch = {"max_requests": 2, "concurrent_jobs": 1, "poll_seconds": [0.3, 0.6]}
    run = site(30, batch=batch, emulator={"pending_seconds": 60})
    reads: list[float] = []

    class Log(ReservationLog):
        def read(self):
            reads.append(run.clock.at)
            return super().read()

    run.jump(lambda: run.clock.at > 4 and run.interrupted.set())
    context = run.context()
    run.drive(replace(context, spend=Log(context.run_dir, 1)))
    # 14 of 15 shards wait for over three seconds: by turns they would have asked a hundred times.
    assert len(run.jobs()) == 1
    assert len(reads) < 20


def test_one_round_sends_into_the_room_that_it_makes(site):
    # Polled every quarter of a minute, as by default: longer than a round waits for anything else.
    batch = {"max_requests": 7, "concurrent_jobs": 2, "poll_seconds": [15.0, 300.0]}
    run = site(24, emulator={"pending_seconds": 1000.0}, batch=batch)
    run.drive(one_round=True)
    assert len(run.jobs()) == 2
    for _ in range(2):
        run.advance(2000.0)  # it begins, it ends
        run.jobs()
    results = run.drive(one_round=True)
    assert sum(isinstance(result, Settled) for result in results.values()) == 2
    assert len(run.jobs()) == 4, results
