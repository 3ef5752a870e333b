"""A service whose quotas are far below the configured ones: everything settles all the same."""

import multiprocessing

import orjson

from reembed.core.records import Settled
from support.lanes import drive
from support.waiting import DEADLINE


def lines(run, kind):
    stats = run.storage.list(run.layout.run(1) + "/spend/")
    found = [orjson.loads(run.storage.read(stat.uri)) for stat in stats]
    return [line for line in found if line["kind"] == kind]


def most_at_once(run):
    """Rows of all jobs that were active at one moment, at most."""
    spans = [(job["created"], job["ended"], job["total"]) for job in run.jobs()]
    return max(sum(rows for a, b, rows in spans if a <= at < b) for at, _, _ in spans)


def all_is_well(run, count):
    assert len(run.rows()) == count
    assert run.rejects() == []
    assert run.context().spend.read().live == {}


def test_two_processes_learn_one_quota_and_no_job_fails_by_it(site):
    # Each request counts about 12 tokens there and 24 here: six jobs of six requests at a time.
    quota = 500
    run = site(
        100,
        emulator={"enqueued_tokens": quota, "pending_seconds": 0.4},
        batch={"max_requests": 6, "enqueued_tokens": 5000},
    )
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=drive, args=(run.session, n, 2)) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=DEADLINE)
        assert process.exitcode == 0
    all_is_well(run, 100)
    refused = lines(run, "refused")
    assert refused
    # Each process had its own refusals told by the other's log: far fewer than shards.
    assert run.count("batches.create") == len(run.jobs()) + len(lines(run, "void"))
    assert {line["quota"] for line in refused} == {"tokens"}
    assert most_at_once(run) * 10 <= quota


def test_a_later_call_starts_under_the_ceiling_of_the_one_before(site):
    batch = {"max_requests": 6, "enqueued_tokens": 5000, "lease_seconds": 4000.0}
    run = site(30, batch=batch, jumps=True)
    first = run.context()
    first.spend.read()
    run.faults({"on": "batches.create", "do": "status", "status": 429, "nth": 2})
    run.drive(first)
    [line] = lines(run, "refused")
    low = run.context().spend.read().ceiling
    assert low == first.spend.read().ceiling
    assert (low.tokens is not None) == bool(line["in_use"]["jobs"])


def test_a_shard_above_what_the_service_takes_is_cut_and_all_its_rows_come(site):
    # One job of 21 requests needs more than the service ever takes.
    run = site(
        40,
        emulator={"enqueued_tokens": 200},
        batch={"max_requests": 21, "lease_seconds": 4000.0, "poll_seconds": [5.0, 20.0]},
        jumps=True,
    )
    results = run.drive()
    assert all(isinstance(result, Settled) for result in results.values())
    all_is_well(run, 40)
    assert {job["state"] for job in run.jobs()} == {"BATCH_STATE_SUCCEEDED"}
    assert max(job["total"] for job in run.jobs()) < 21
    assert run.billed() <= 40 + sum(plan.canaries for plan in run.plans)


def test_an_upload_that_finds_no_room_waits_and_is_told_to_all(site):
    run = site(10, jumps=True, batch={"lease_seconds": 4000.0})
    run.faults({"on": "upload.start", "do": "status", "status": 429, "times": 8})
    run.drive()
    all_is_well(run, 10)
    assert {line["quota"] for line in lines(run, "refused")} == {"file"}
    assert len(run.jobs()) == 1


def test_where_files_have_no_room_auto_goes_inline(site):
    run = site(24, batch={"max_requests": 12, "input": "auto", "concurrent_jobs": 100})
    seen = {"inline_keys": True, "base_url": run.config.service.base_url}
    run.storage.put(run.layout.doctor(), orjson.dumps(seen))
    # Bodies that are too large to go inline unasked, and a storage that one of them fills.
    run.plans = [plan.model_copy(update={"wire_bytes": 11_000_000_000}) for plan in run.plans]
    run.plans[1] = run.plans[1].model_copy(update={"wire_bytes": 12_000_000})
    context = run.context()
    run.drive(context)
    all_is_well(run, 24)
    assert sorted(job["kind"] for job in run.jobs())[:1] == ["file"]
