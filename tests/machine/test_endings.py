"""What follows from failed rows and failed jobs, down to the poison row alone."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.core.records import Child, Need, Outcome, ordinals_of, ranges_of
from reembed.core.row_errors import RowError
from reembed.machine.endings import (
    RemoteEnd,
    RetryHistory,
    ending_after_answers,
    ending_after_failure,
    ending_without_malformed,
    retry_delay,
    retry_history,
    should_check_requests,
)

MOST = 4
BAD = RemoteEnd("batches/1", "FAILED", 3, "Line 1 is bad.")
ROOT = RetryHistory("0")


def need_of(ordinals):
    return Need(usd_nano=10 * len(ordinals), tokens=len(ordinals), jobs=1)


def error(code, reason="x"):
    return RowError(reason, "said", code)


def failed(history, job, ordinals):
    return ending_after_failure(history, job, ordinals, MOST, need_of)


@pytest.mark.parametrize("code", range(1, 17))
def test_rows_go_on_by_their_code(code):
    again = code in {1, 2, 4, 8, 10, 13, 14}
    ending = ending_after_answers(ROOT, {5: error(code)}, MOST, need_of)
    assert set(ending.children) == ({"0.0"} if again else set())
    assert set(ending.rejects) == (set() if again else {5})


@pytest.mark.parametrize("reason", ["wrong_dimension", "not_finite", "zero_norm", "no_vector"])
def test_what_was_answered_badly_was_paid_and_is_not_asked_again(reason):
    ending = ending_after_answers(ROOT, {5: error(0, reason)}, MOST, need_of)
    assert (dict(ending.children), set(ending.rejects)) == ({}, {5})


def test_missing_lines_are_asked_for_once():
    missing = {n: error(0, "missing") for n in (9, 2, 3)}
    ending = ending_after_answers(ROOT, missing, MOST, need_of)
    assert ending.children["0.0"] == Child(ordinals=((2, 4), (9, 10)), need=need_of([2, 3, 9]))
    assert ending.delay_seconds == 5.0
    again = ending_after_answers(
        RetryHistory("0.0", retries=1), {9: error(0, "missing")}, MOST, need_of
    )
    assert set(again.rejects) == {9}
    # A piece of a split was not asked for before.
    piece = ending_after_answers(
        RetryHistory("0.3", splits=1), {9: error(0, "missing")}, MOST, need_of
    )
    assert set(piece.children) == {"0.3.0"}


def test_retries_have_a_bound_that_splits_do_not_use_up():
    for retries in range(3):
        assert ending_after_answers(
            RetryHistory("0", retries), {1: error(13)}, MOST, need_of
        ).children
    last = ending_after_answers(RetryHistory("0", 3), {1: error(13)}, MOST, need_of)
    assert (dict(last.children), set(last.rejects)) == ({}, {1})
    assert ending_after_answers(
        RetryHistory("0.1.2.3.4", 0, 4), {1: error(13)}, MOST, need_of
    ).children


@pytest.mark.parametrize(
    "job",
    [
        RemoteEnd("b", "FAILED", 13, "internal"),
        RemoteEnd("b", "FAILED", 5, "the input file was not found"),
        RemoteEnd("b", "FAILED"),
        RemoteEnd("b", "EXPIRED", 4),
    ],
)
def test_other_failed_jobs_go_again_whole_and_boundedly(job):
    ending = failed(ROOT, job, [1, 2, 5])
    assert ending.children == {"0.0": Child(ordinals=((1, 3), (5, 6)), need=need_of([1, 2, 5]))}
    assert not ending.rejects
    ending = failed(RetryHistory("0.0.0.0", retries=3), job, [1, 2, 5])
    assert not ending.children
    assert {why.reason for why in ending.rejects.values()} == {
        "expired" if job.state == "EXPIRED" else "job_failed"
    }
    assert set(ending.rejects) == {1, 2, 5}


def test_a_cancelled_job_is_never_bought_again():
    ending = failed(ROOT, RemoteEnd("b", "CANCELLED"), [1, 2])
    assert not ending.children
    assert {why.reason for why in ending.rejects.values()} == {"cancelled"}


def test_a_job_of_which_nothing_was_sent_leaves_nothing():
    for job in (BAD, RemoteEnd("b", "EXPIRED"), RemoteEnd("b", "FAILED", 13)):
        ending = failed(ROOT, job, [])
        assert (dict(ending.children), dict(ending.rejects)) == ({}, {})


def test_a_malformed_job_is_cut_into_sixteen():
    ending = failed(ROOT, BAD, range(100))
    assert list(ending.children) == [f"0.{k}" for k in range(15)]
    assert [ordinals_of(c.ordinals) for c in ending.children.values()][:2] == [
        list(range(7)),
        list(range(7, 14)),
    ]
    assert ending.delay_seconds == 0.0


def test_one_malformed_request_is_the_reject_with_the_services_words():
    ending = failed(RetryHistory("0.1", splits=1), BAD, [17])
    assert not ending.children
    assert ending.rejects[17].reason == "request_refused"
    assert "Line 1 is bad. (code 3)" in ending.rejects[17].message


def test_what_is_found_malformed_here_alone_is_rejected_and_the_rest_goes_on_as_one():
    ending = ending_without_malformed(ROOT, BAD, [1, 2, 3, 7], {2: "its text is empty"}, need_of)
    rest = [1, 3, 7]
    assert ending.children == {"0.0": Child(ordinals=ranges_of(rest), need=need_of(rest))}
    assert set(ending.rejects) == {2}
    assert ending.rejects[2].reason == "request_malformed"
    assert ending.rejects[2].stage == "submit"
    assert "its text is empty" in ending.rejects[2].message
    assert "Line 1 is bad. (code 3)" in ending.rejects[2].message
    assert ending.delay_seconds == 0.0
    alone = ending_without_malformed(ROOT, BAD, [2], {2: "x"}, need_of)
    assert (dict(alone.children), set(alone.rejects)) == ({}, {2})


@pytest.mark.parametrize(
    ("history", "job", "checked"),
    [
        (ROOT, BAD, True),
        (RetryHistory("0.0", retries=1), BAD, True),
        (RetryHistory("0.3", splits=1), BAD, False),
        (ROOT, RemoteEnd("b", "FAILED", 13), False),
        (ROOT, RemoteEnd("b", "EXPIRED", 3), False),
    ],
)
def test_requests_are_checked_once_before_the_first_cut(history, job, checked):
    assert should_check_requests(history, job) is checked


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize(("count", "poison"), [(10_000, {1234}), (10_000, {0, 9999}), (17, {16})])
def test_splitting_comes_down_to_the_poison_alone(count, poison, retries):
    todo = [(RetryHistory("0", retries), list(range(count)))]
    rejects, sent, jobs = set(), set(), 0
    while todo:
        history, ordinals = todo.pop()
        jobs += 1
        if not poison & set(ordinals):
            sent |= set(ordinals)
            continue
        ending = failed(history, BAD, ordinals)
        rejects |= set(ending.rejects)
        parts = [ordinals_of(child.ordinals) for child in ending.children.values()]
        assert sorted([*ending.rejects, *(n for part in parts for n in part)]) == ordinals
        for path, part in zip(ending.children, parts, strict=True):
            todo.append((RetryHistory(path, history.retries, history.splits + 1), part))
    assert rejects == poison
    assert sent == set(range(count)) - poison
    assert jobs <= 1 + 16 * 4 * len(poison)


def test_the_past_is_read_from_the_ancestors():
    retry = Outcome(state="FAILED", job="b", children={"0.0": _child()})
    pieces = Outcome(state="FAILED", job="b", children={"0.0.0": _child(), "0.0.1": _child()})
    outcomes = {"0": retry, "0.0": pieces, "0.0.1": None}
    assert retry_history("0", outcomes) == RetryHistory("0", 0, 0)
    assert retry_history("0.0", outcomes) == RetryHistory("0.0", 1, 0)
    assert retry_history("0.0.1", outcomes) == RetryHistory("0.0.1", 1, 1)


def _child():
    return Child(ordinals=((0, 1),), need=Need())


def test_waits_grow_to_a_quarter_of_an_hour():
    assert [retry_delay(n) for n in range(6)] == [5, 20, 80, 320, 900, 900]


def test_long_words_of_the_service_are_cut():
    long = RemoteEnd("b", "CANCELLED")
    ending = failed(ROOT, RemoteEnd("b" * 900, long.state), [1])
    assert len(ending.rejects[1].message) == 500


@given(st.sets(st.integers(0, 400)))
def test_ranges_say_the_same_as_ordinals(ordinals):
    ranges = ranges_of(list(ordinals))
    assert ordinals_of(ranges) == sorted(ordinals)
    assert all(a < b for a, b in ranges)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))


@given(
    st.dictionaries(st.integers(0, 99), st.sampled_from([0, 3, 8, 13, 14]), max_size=20),
    st.integers(0, 5),
    st.integers(1, 5),
)
def test_every_error_either_goes_on_or_is_a_reject(codes, retries, most):
    errors = {n: error(code, "missing" if code == 0 else "x") for n, code in codes.items()}
    ending = ending_after_answers(RetryHistory("0", retries), errors, most, need_of)
    going = [n for child in ending.children.values() for n in ordinals_of(child.ordinals)]
    assert sorted([*going, *ending.rejects]) == sorted(errors)
    assert len(ending.children) <= 1


def test_a_cut_by_ourselves_counts_neither_as_a_try_nor_as_a_split():
    two = {f"0.{k}": Child(ordinals=((k, k + 1),), need=Need()) for k in range(2)}
    outcomes = {"0": Outcome(state="NOT_SENT", job="", children=two)}
    assert retry_history("0.1", outcomes) == RetryHistory("0.1", 0, 0)
