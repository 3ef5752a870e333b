import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reembed.core.join import Anomalies, Answer, Joined, Joiner, join
from reembed.core.row_errors import RowError
from reembed.providers.gemini.answers import read_answers
from support.builders import FINGERPRINT, keyed, line, unit, vectors


def joined(lines: list[bytes], ordinals: Any, dimensions: int = 8, cap: int = 1 << 20) -> Joined:
    matrix = np.full((len(ordinals), dimensions), 99, np.float32)
    answers = read_answers(io.BytesIO(b"".join(lines)), cap)
    return join(answers, FINGERPRINT + "ffffffff", ordinals, matrix)


def by_ordinal(result: Joined) -> dict[int, np.ndarray]:
    return {
        int(ordinal): result.matrix[slot]
        for slot, ordinal in enumerate(result.ordinals)
        if result.ok[slot]
    }


@settings(deadline=None)
@given(st.data())
def test_any_order_loss_and_doubling_gives_the_truth_by_key(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    truth = vectors(count)
    sent = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    order = data.draw(st.lists(st.integers(0, count - 1), max_size=60))
    result = joined([keyed(n, truth[n].tolist(), tokenCount=n + 1) for n in order], sorted(sent))

    got = by_ordinal(result)
    answered = sent & set(order)
    assert set(got) == answered
    assert set(result.errors) == sent - answered
    for ordinal, vector in got.items():
        np.testing.assert_allclose(vector, unit(truth[ordinal]), atol=1e-7)
    expected = Anomalies(
        missing=len(sent - answered),
        unknown=sum(n not in sent for n in order),
        doubled_same=sum(n in sent for n in order) - len(answered),
    )
    assert result.anomalies == expected
    assert result.lines == len(order)
    for slot, ordinal in enumerate(result.ordinals.tolist()):
        assert result.tokens[slot] == (ordinal + 1 if ordinal in answered else -1)


@settings(deadline=None)
@given(st.lists(st.text(alphabet="0a1b2c3d-9 +_²", max_size=14), max_size=20))
def test_no_vector_joins_under_a_key_that_was_not_sent(keys: list[str]) -> None:
    sent = {f"{FINGERPRINT}-{n}": n for n in (0, 1, 10)}
    lines = [line(key, vector.tolist()) for key, vector in zip(keys, vectors(20), strict=False)]
    result = joined(lines, [0, 1, 10])
    assert set(by_ordinal(result)) == {sent[key] for key in keys if key in sent}
    assert result.anomalies.unknown == sum(key not in sent for key in keys)


@pytest.mark.parametrize(
    "key",
    [
        "ffffffff-0",
        "row-0",
        "0",
        f"{FINGERPRINT.upper()}-0",
        *(f"{FINGERPRINT}-{ordinal}" for ordinal in ("00", "+0", " 0", "0 ", "0.0", "²", "")),
    ],
)
def test_a_foreign_key_joins_nothing(key: str) -> None:
    result = joined([line(key, [1.0] * 8)], [0, 2])
    assert not result.ok.any()
    assert result.anomalies == Anomalies(unknown=1, missing=2)
    assert (result.matrix == 99).all()


def test_answers_without_keys_never_join_by_position() -> None:
    result = joined([line(None, [1.0] * 8), line(None, [2.0] * 8)], [0, 1])
    assert not result.ok.any()
    assert result.anomalies == Anomalies(keyless=2, missing=2)


def test_each_flaw_is_named_and_counted_and_the_rest_joins() -> None:
    good = vectors(1)[0].tolist()
    lines = [
        keyed(0, good),
        keyed(1, [1.0] * 7),
        keyed(2, [1.0] * 9),
        keyed(3, [float("nan")] * 8),
        keyed(4, [None] * 8),
        keyed(5, [0.0] * 8),
        keyed(6, None),
        keyed(7, None, error={"code": 8, "message": "later"}),
        b"{broken\n",
        keyed(0, [1.0] * 90_000),
    ]
    result = joined(lines, range(9), cap=100_000)
    assert set(by_ordinal(result)) == {0}
    reasons = {ordinal: error.reason for ordinal, error in result.errors.items()}
    assert reasons == {
        1: "wrong_dimension",
        2: "wrong_dimension",
        3: "not_finite",
        4: "not_finite",
        5: "zero_norm",
        6: "no_vector",
        7: "resource_exhausted",
        8: "missing",
    }
    assert result.errors[1].message == "the vector has 7 values, 8 were asked for"
    assert result.anomalies == Anomalies(
        wrong_dimension=2,
        not_finite=2,
        zero_norm=1,
        no_vector=1,
        missing=1,
        not_json=1,
        too_long=1,
        dimensions={7: 1, 9: 1},
    )


def test_the_lengths_that_came_are_kept() -> None:
    result = joined([keyed(3, [3.0, 4.0])], [3, 4], dimensions=2)
    assert result.lengths[0] == 5.0
    assert np.isnan(result.lengths[1])
    np.testing.assert_allclose(result.matrix[0], [0.6, 0.8])


def test_a_second_line_that_differs_spoils_both() -> None:
    a, b = vectors(2).tolist()
    for lines in (
        [keyed(0, a), keyed(0, b)],
        [keyed(0, a), keyed(0, None, error={"code": 13, "message": "x"})],
        [keyed(0, None, error={"code": 13, "message": "x"}), keyed(0, a)],
        [keyed(0, a), keyed(0, a[:-1])],
        [keyed(0, a), keyed(0, b), keyed(0, a)],
    ):
        result = joined(lines, [0])
        assert not result.ok.any()
        assert result.errors[0].reason == "doubled_different"
        assert result.anomalies.doubled_different >= 1


def test_a_second_line_within_rounding_is_the_same() -> None:
    vector = vectors(1)[0]
    result = joined([keyed(0, vector.tolist()), keyed(0, (vector * 1.0001).tolist())], [0])
    assert result.ok.all()
    assert result.anomalies == Anomalies(doubled_same=1)


def test_two_errors_for_one_key_are_one() -> None:
    error = {"code": 13, "message": "x"}
    result = joined([keyed(0, None, error=error), keyed(0, None, error=error)], [0])
    assert result.errors == {0: RowError("internal", "x", 13)}
    assert result.anomalies.doubled_same == 1


def test_dimensions_named_are_bounded() -> None:
    result = joined([keyed(n, [1.0] * (n + 9)) for n in range(100)], range(100))
    assert result.anomalies.wrong_dimension == 100
    assert len(result.anomalies.dimensions) == 16


def test_slots_find_ordinals_and_say_where_there_is_none() -> None:
    result = joined([], [7, 3, 5])
    assert result.ordinals.tolist() == [3, 5, 7]
    assert result.slots(np.array([5, 4, 7, -1, 9])).tolist() == [1, -1, 2, -1, -1]
    assert joined([], []).slots(np.array([0, -1])).tolist() == [-1, -1]


def test_findings_travel_without_their_vectors() -> None:
    result = joined([keyed(0, [1.0] * 8)], [0, 1]).without_vectors()
    copy = pickle.loads(pickle.dumps(result))
    assert copy.matrix.shape == (0, 8)
    assert copy.errors == result.errors
    assert copy.anomalies == result.anomalies
    assert copy.ok.tolist() == [True, False]


def test_wrong_rooms_are_refused() -> None:
    with pytest.raises(ValueError, match="2 ordinals, 1 of them different"):
        join([], FINGERPRINT, [1, 1], np.empty((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"give float32 of shape \(2, dimensions\)"):
        join([], FINGERPRINT, [0, 1], np.empty((3, 4), np.float32))
    with pytest.raises(ValueError, match="float64"):
        join([], FINGERPRINT, [0], np.empty((1, 4), np.float64))


def test_an_answer_made_elsewhere_joins_too() -> None:
    answers = [Answer(f"{FINGERPRINT}-1", np.array([0.0, 2.0]), 4)]
    result = join(answers, FINGERPRINT, [1], np.empty((1, 2), np.float32))
    assert result.matrix.tolist() == [[0.0, 1.0]]
    assert result.tokens.tolist() == [4]


def alone(lines: list[bytes], ordinals: Any = (5,), inline: bool = True) -> Joined:
    matrix = np.full((len(ordinals), 8), 99, np.float32)
    joiner = Joiner(FINGERPRINT + "ffffffff", ordinals, matrix, inline)
    for answer in read_answers(io.BytesIO(b"".join(lines))):
        joiner.add(answer)
    return joiner.finish()


def keyless(values: list[float]) -> bytes:
    return line(None, values, tokenCount="7")


def test_the_only_answer_to_the_only_request_of_an_inline_job_needs_no_key() -> None:
    truth = vectors(1)[0]
    result = alone([keyless(truth.tolist())])
    np.testing.assert_allclose(by_ordinal(result)[5], unit(truth), atol=1e-7)
    assert result.anomalies == Anomalies()
    assert result.tokens.tolist() == [7]
    # It is checked as any other.
    assert alone([keyless([1.0] * 4)]).errors[5].reason == "wrong_dimension"
    assert alone([keyless([0.0] * 8)]).errors[5].reason == "zero_norm"
    failed = alone([line(None, error={"code": 13, "message": "Sorry."})])
    assert (failed.errors[5].code, failed.anomalies) == (13, Anomalies())


@pytest.mark.parametrize("where", ["file", "two requests", "second line", "key", "broken", "blank"])
def test_nothing_else_joins_without_a_key(where: str) -> None:
    values = vectors(3).tolist()
    first = keyless(values[0])
    result = {
        "file": lambda: alone([first], inline=False),
        "two requests": lambda: alone([first], ordinals=(5, 6)),
        "second line": lambda: alone([first, keyless(values[1])]),
        "key": lambda: alone([first, keyed(5, values[1])]),
        "broken": lambda: alone([first, b"{\n"]),
        "blank": lambda: alone([line("", values[0])]),
    }[where]()
    if where == "blank":
        assert result.anomalies.unknown == 1
    else:
        assert result.anomalies.keyless == {"second line": 2}.get(where, 1)
    assert set(by_ordinal(result)) == ({5} if where == "key" else set())
