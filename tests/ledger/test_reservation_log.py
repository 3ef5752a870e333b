"""The spend log: gap-free, never above the cap, whoever writes."""

import itertools
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.core.records import Need, ReservationLine
from reembed.errors import RunFailedError
from reembed.ledger.reservation_log import ReservationLog, is_folded
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.machine.quotas import Quotas
from reembed.machine.reservations import Reservations
from reembed.storage.open import open_storage
from support.counting import CountingStorage
from support.spending import ONE, WIDE, early, spend_ten
from support.waiting import DEADLINE


@pytest.fixture
def log(run_dir):
    return ReservationLog(run_dir, 1)


def lines_of(run_dir):
    stats = open_storage().list(run_dir.layout.run(1) + "/spend/")
    return [ReservationLine.decode(open_storage().read(stat.uri), stat.uri) for stat in stats]


def test_a_reservation_an_end_and_a_void_leave_what_they_should(log):
    assert log.reserve("a", 1, ONE, WIDE, early)
    assert log.reserve("b", 1, ONE, WIDE, early)
    used = log.read().used(0.0)
    assert (used.usd_nano, used.tokens, used.jobs, used.result_bytes) == (20, 200, 2, 12_000)
    log.release("a", 1, "end", retained_until=50.0)
    used = log.read().used(0.0)
    # The dollars stay, the result stays until it expires.
    assert (used.usd_nano, used.tokens, used.jobs, used.result_bytes) == (20, 100, 1, 11_000)
    log.release("b", 1, "void", retained_until=50.0)
    assert log.read().used(49.0) == Need(usd_nano=10, result_bytes=5000)
    assert log.read().used(51.0) == Need(usd_nano=10)


def test_each_quota_binds_by_itself(log):
    log.reserve("a", 1, ONE, WIDE, early)
    tight = {"jobs": 1, "tokens": 199, "file_bytes": 11_999, "max_usd_nano": 19}
    for name, bound in tight.items():
        assert not log.reserve("b", 1, ONE, replace(WIDE, **{name: bound}), early), name
    exact = Quotas(max_usd_nano=20, jobs=2, tokens=200, file_bytes=12_000)
    assert log.reserve("b", 1, ONE, exact, early)


def test_the_cap_is_final_and_the_others_are_not():
    reservations = Reservations().add(
        ReservationLine(kind="reserve", attempt="a", epoch=1, need=ONE)
    )
    assert reservations.admission("b", ONE, replace(WIDE, max_usd_nano=15), 0.0) == "capped"
    assert reservations.admission("b", ONE, replace(WIDE, jobs=1), 0.0) == "busy"
    assert reservations.admission("a", ONE, replace(WIDE, max_usd_nano=0, jobs=0), 0.0) == "fits"


def test_a_later_epoch_overtakes_without_paying_twice(log):
    assert log.reserve("a", 1, ONE, WIDE, early)
    assert log.reserve("a", 2, ONE, replace(WIDE, max_usd_nano=10, jobs=1), early)
    reservations = log.read()
    assert (reservations.usd_nano, reservations.lines) == (10, 2)
    assert reservations.holding_epoch("a") == 2
    # Who stalled before appending finds the line of its successor.
    assert not log.reserve("a", 1, ONE, WIDE, early)
    log.release("a", 1, "void", 0.0)
    assert log.read() == reservations
    log.release("a", 2, "void", 0.0)
    assert log.read().usd_nano == 0


def test_the_same_reservation_or_release_again_writes_nothing(log, run_dir):
    for _ in range(3):
        assert log.reserve("a", 1, ONE, WIDE, early)
    for _ in range(3):
        log.release("a", 1, "end", 9.0)
    log.release("never", 1, "void", 9.0)
    assert [line.kind for line in lines_of(run_dir)] == ["reserve", "end"]


def test_another_process_goes_on_where_the_log_ends(log, run_dir):
    log.reserve("a", 1, ONE, WIDE, early)
    other = ReservationLog(run_dir, 1)
    other.reserve("b", 1, ONE, WIDE, early)
    other.release("a", 1, "void", 0.0)
    assert log.read() == other.read() == ReservationLog(run_dir, 1).read()
    assert ReservationLog(run_dir, 2).read() == Reservations()


def test_eight_threads_never_pass_the_cap_and_leave_no_gap(run_dir):
    quotas = replace(WIDE, max_usd_nano=200)
    logs = [ReservationLog(run_dir, 1) for _ in range(4)]
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        log, won = logs[number // 2], 0
        for count in range(6):
            won += log.reserve(f"{number}-{count}", 1, ONE, quotas, early)
        return won

    with ThreadPoolExecutor(8) as pool:
        won = sum(pool.map(work, range(8)))
    assert won == 20
    _check(run_dir, 20, 200)


def test_four_processes_never_pass_the_cap_and_leave_no_gap(run_dir):
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=spend_ten, args=(run_dir.layout.run_dir, number, start, answers))
        for number in range(4)
    ]
    for process in processes:
        process.start()
    won = sum(answers.get(timeout=DEADLINE) for _ in processes)
    for process in processes:
        process.join(timeout=DEADLINE)
    answers.close()
    answers.join_thread()
    assert won == 20
    _check(run_dir, 20, 200)


def _check(run_dir, count, usd_nano):
    names = [stat.uri for stat in open_storage().list(run_dir.layout.run(1) + "/spend/")]
    assert names == [run_dir.layout.spend(1, seq) for seq in range(1, count + 1)]
    totals = [line.total_usd_nano for line in lines_of(run_dir)]
    assert totals == list(range(10, usd_nano + 1, 10))


def test_a_line_of_an_unknown_version_is_refused(log, run_dir):
    log.reserve("a", 1, ONE, WIDE, early)
    body = {"schema": 3, "kind": "reserve", "attempt": "b", "epoch": 1}
    open_storage().create(run_dir.layout.spend(1, 2), orjson.dumps(body))
    with pytest.raises(RunFailedError, match="000000002: not a ReservationLine record"):
        log.read()


ACTS = st.tuples(
    st.sampled_from(["reserve", "void", "end"]),
    st.sampled_from("abcd"),
    st.integers(1, 3),
    st.integers(0, 30),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(ACTS, max_size=25), st.integers(0, 90))
def test_whatever_happens_the_total_is_the_sum_and_under_the_cap(tmp_path_factory, acts, cap):
    run_dir = open_run_dir(str(tmp_path_factory.mktemp("spend")))
    logs = [ReservationLog(run_dir, 1) for _ in range(2)]
    quotas = replace(WIDE, max_usd_nano=cap, jobs=3)
    needs = {}
    for turn, (kind, attempt, epoch, usd) in enumerate(acts):
        log = logs[turn % 2]
        if kind == "reserve":
            # An attempt needs the same in every epoch.
            need = needs.setdefault(attempt, Need(usd_nano=usd, jobs=1))
            log.reserve(attempt, epoch, need, quotas, early)
        else:
            log.release(attempt, epoch, kind, 0.0)
        reservations = log.read()
        assert 0 <= reservations.usd_nano <= cap
        assert reservations.used(0.0).jobs <= 3
    lines = lines_of(run_dir)
    assert logs[0].read() == logs[1].read()
    assert logs[0].read().lines == len(lines)
    assert [line.total_usd_nano for line in lines[-1:]] == [logs[0].read().usd_nano][: len(lines)]


def folds_of(run_dir):
    return [stat.uri.rsplit("/", 1)[1] for stat in open_storage().list(run_dir.layout.folds(1))]


@settings(deadline=None, max_examples=40)
@given(st.lists(ACTS, max_size=25), st.integers(1, 6), st.integers(1, 8))
def test_a_reader_of_folds_has_the_book_of_a_reader_of_lines(
    tmp_path_factory, acts, fold_every, max_concurrent
):
    run_dir = open_run_dir(str(tmp_path_factory.mktemp("spend")))
    log = ReservationLog(run_dir, 1, fold_every=fold_every)
    for kind, attempt, epoch, usd in acts:
        if kind == "reserve":
            log.reserve(attempt, epoch, Need(usd_nano=usd, jobs=1, result_bytes=7), WIDE, early)
        else:
            log.release(attempt, epoch, kind, usd / 3)
    reservations, lines = Reservations(), lines_of(run_dir)
    for line in lines:
        reservations = reservations.add(line)
    assert ReservationLog(run_dir, 1, max_concurrent).read() == reservations == log.read()
    expected = [f"{seq:09}" for seq in range(fold_every, len(lines) + 1, fold_every)]
    assert folds_of(run_dir) == expected


def test_the_same_lines_give_the_same_fold_from_any_writer(run_dir):
    logs = [ReservationLog(run_dir, 1, fold_every=4) for _ in range(2)]
    for number in range(3):
        logs[number % 2].reserve(f"z{9 - number}", 1, ONE, WIDE, early)
    logs[0].release("z9", 1, "end", 9.5)
    name = run_dir.layout.fold(1, 4)
    first = open_storage().read(name)
    open_storage().delete(name)
    # Begun from another fold: that of the first two lines.
    ReservationLog(run_dir, 1, fold_every=4)._fold(logs[1].read())
    assert open_storage().read(name) == first


def test_a_fold_that_a_dead_writer_left_out_is_not_missed(run_dir):
    log = ReservationLog(run_dir, 1, fold_every=3)
    for number in range(10):
        log.reserve(f"a{number}", 1, ONE, WIDE, early)
    open_storage().delete(run_dir.layout.fold(1, 9))
    assert ReservationLog(run_dir, 1).read() == log.read()


def test_only_the_lines_after_the_newest_fold_are_read(run_dir):
    log = ReservationLog(run_dir, 1, fold_every=50)
    for number in range(57):
        log.reserve(f"a{number}", 1, ONE, WIDE, early)
    storage = CountingStorage(open_storage())
    reader = ReservationLog(RunDir(storage, run_dir.layout), 1, max_concurrent=16)
    assert reader.read().lines == 57
    # One page of folds, the newest; the seven lines are among the first eight asked for.
    assert dict(storage.counts) == {"list": 1, "read": 1 + 8}
    reader.read()
    assert storage.counts["read"] == 10
    for number in range(20):
        log.reserve(f"b{number}", 1, ONE, WIDE, early)
    assert reader.read().lines == 77


def test_a_line_that_came_between_two_reads_of_one_look_waits_for_the_next(run_dir):
    """Line 2 is there when it is read, line 1 was not yet."""
    late = []

    def before(call, uri):
        if uri.endswith("000000002") and not late:
            late.append(ReservationLog(run_dir, 1))
            late[0].reserve("a", 1, ONE, WIDE, early)
            late[0].reserve("b", 1, ONE, WIDE, early)

    reader = ReservationLog(
        RunDir(CountingStorage(open_storage(), before=before), run_dir.layout), 1, max_concurrent=1
    )
    assert reader.read().lines == 0
    found = reader._lines(range(1, 4))
    assert [line.attempt for line in found] == []
    assert late
    assert reader.read().lines == 2


def test_a_fold_of_an_unknown_version_is_refused(run_dir):
    open_storage().create(
        run_dir.layout.fold(1, 256), orjson.dumps({"schema": 3, "reservations": {}})
    )
    with pytest.raises(RunFailedError, match="000000256: not a Fold record"):
        ReservationLog(run_dir, 1).read()


def test_results_are_forgotten_once_nothing_can_hold_them_any_more():
    reservations, life = Reservations(), 48 * 3600.0
    for hour in range(200):
        name, now = f"s{hour}/0", hour * 3600.0
        reserve = ReservationLine(kind="reserve", attempt=name, epoch=1, need=ONE)
        end = ReservationLine(kind="end", attempt=name, epoch=1, retained_until=now + life)
        reservations = reservations.add(reserve, end)
        stored = min(hour + 1, 48)
        assert reservations.used(now).result_bytes == stored * ONE.result_bytes
        assert len(reservations.retained_results) <= 48
    assert len(reservations.epochs) == 200


def test_folds_are_written_more_rarely_as_the_log_grows():
    folded = [lines for lines in range(400_000) if is_folded(lines)]
    assert folded[:128] == list(range(256, 128 * 256 + 1, 256))
    for fold, following in itertools.pairwise(folded):
        # What a new reader reads one by one, beside what it spares.
        assert following - fold <= max(256, following / 64)
    # All folds together: a small multiple of the log, not of its square.
    assert sum(folded) < 130 * 400_000
