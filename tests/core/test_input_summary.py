"""A summary of inputs is the same in whatever order and bundles they came."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from reembed.core import input_summary
from reembed.core.input_summary import InputSketch, InputSummary
from reembed.core.names import PARTITION_ITEMS

INPUTS = st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.text()), max_size=12)


def sketch(inputs: list[tuple[str, str]]) -> InputSketch:
    made = InputSketch()
    for key, text in inputs:
        made.add(key, [text])
    return made


@given(INPUTS, st.integers(0, 12), st.randoms())
def test_order_and_bundles_change_nothing(
    inputs: list[tuple[str, str]], cut: int, rng: random.Random
) -> None:
    other = inputs[:]
    rng.shuffle(other)
    merged = sketch(other[:cut]).merge(sketch(other[cut:]))
    assert merged.summary() == sketch(inputs).summary()


def test_another_content_is_another_digest() -> None:
    one, other = sketch([("a", "x")]).summary(), sketch([("a", "y")]).summary()
    assert (one.items, one.borders) == (other.items, other.borders)
    assert one.digest != other.digest


def test_a_key_that_came_twice_counts_twice() -> None:
    assert sketch([("a", "x"), ("a", "x")]).summary().items == 2
    assert sketch([("a", "x"), ("a", "x")]).summary() != sketch([("a", "x")]).summary()


def test_borders_cut_the_keys_into_partitions_of_like_size() -> None:
    keys = [f"k{n:05}" for n in range(0, 3 * PARTITION_ITEMS, 20)]
    made = sketch([(key, "") for key in keys])
    made.items *= 20  # so many inputs have these keys' hashes or larger ones
    summary = made.summary()
    assert list(summary.borders) == sorted(summary.borders)
    assert len(summary.borders) == 2
    sizes = [sum(summary.partition_of(key) == n for key in keys) for n in range(3)]
    assert max(sizes) - min(sizes) <= 1


def test_a_key_on_a_border_belongs_to_the_partition_that_it_begins() -> None:
    summary = InputSummary(3, "", ("b", "d"))
    assert [summary.partition_of(key) for key in "abcde"] == [0, 1, 1, 2, 2]


def test_a_sketch_stays_small() -> None:
    count = 2 * input_summary.SAMPLE_KEYS + 10
    made = sketch([(str(n), "") for n in range(count)])
    assert made.items == count
    assert len(made.sample) <= 2 * input_summary.SAMPLE_KEYS
