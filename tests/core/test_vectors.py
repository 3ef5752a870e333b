import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from reembed.core.vectors import cosine, normalise_rows, row_lengths, unit_into

_values = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(deadline=None)
@given(npst.arrays(np.float64, st.integers(1, 40), elements=_values))
def test_any_finite_vector_becomes_unit_and_keeps_its_direction(values: np.ndarray) -> None:
    out = np.full(len(values), 7, np.float32)
    length = unit_into(values, out)
    largest = np.abs(values).max()
    if largest == 0:
        assert length == 0
        assert (out == 7).all()
        return
    assert length > 0
    assert abs(np.linalg.norm(out.astype(np.float64)) - 1) < 1e-6
    scaled = np.ldexp(values, -math.frexp(largest)[1])
    np.testing.assert_allclose(out, scaled / np.linalg.norm(scaled), rtol=1e-6, atol=1e-30)


def test_the_length_is_told() -> None:
    out = np.empty(2, np.float32)
    assert unit_into(np.array([3.0, 4.0]), out) == 5.0
    np.testing.assert_array_equal(out, np.array([0.6, 0.8], np.float32))
    assert unit_into(np.array([3e-300, 4e-300]), out) == pytest.approx(5e-300)
    np.testing.assert_allclose(out, [0.6, 0.8], rtol=1e-7)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_left_alone(bad: float) -> None:
    out = np.full(3, 7, np.float32)
    assert math.isnan(unit_into(np.array([1.0, bad, 2.0]), out))
    assert (out == 7).all()


def test_rows_are_normalised_in_place_within_a_millionth() -> None:
    matrix = np.random.default_rng(3).standard_normal((200, 768)).astype(np.float32) * 50
    before = matrix.copy()
    lengths = normalise_rows(matrix)
    np.testing.assert_allclose(lengths, np.linalg.norm(before.astype(np.float64), axis=1))
    np.testing.assert_allclose(row_lengths(matrix), 1.0, atol=1e-6)
    assert cosine(matrix[5], before[5]) == pytest.approx(1.0, abs=1e-7)


def test_rows_without_a_length_stay_as_they_are() -> None:
    matrix = np.array([[0, 0], [3, 4], [np.nan, 1], [np.inf, 1]], np.float32)
    lengths = normalise_rows(matrix)
    expected = np.array([[0, 0], [0.6, 0.8], [np.nan, 1], [np.inf, 1]], np.float32)
    np.testing.assert_array_equal(matrix, expected)
    assert lengths[0] == 0
    assert lengths[1] == 5
    assert not np.isfinite(lengths[2:]).any()


def test_cosine() -> None:
    assert cosine(np.array([1.0, 0.0]), np.array([0.0, 2.0])) == 0.0
    assert cosine(np.array([1.0, 1.0]), np.array([2.0, 2.0])) == pytest.approx(1.0)
    assert cosine(np.array([1.0, 0.0]), np.array([-3.0, 0.0])) == pytest.approx(-1.0)
    assert cosine(np.zeros(2), np.ones(2)) == 0.0
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\) values: compare vectors of one"):
        cosine(np.ones(2), np.ones(3))
