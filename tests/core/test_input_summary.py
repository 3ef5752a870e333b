"""The summary of inputs depends on the inputs alone: not on their order, nor on their bundles."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.core.input_summary import SAMPLE_KEYS, InputSketch, InputSummary
from reembed.core.names import PARTITION_ITEMS

Input = tuple[str, str | None]


def sketch_of(inputs: list[Input]) -> InputSketch:
    sketch = InputSketch()
    for key, text in inputs:
        sketch.add(key, (text,))
    return sketch


@given(
    st.lists(st.tuples(st.text("abä", max_size=4), st.none() | st.text("xy", max_size=3))),
    st.integers(0, 50),
    st.randoms(use_true_random=False),
)
def test_order_and_bundles_change_nothing(
    inputs: list[Input], cut: int, chance: random.Random
) -> None:
    whole = sketch_of(inputs).summary()
    mixed = chance.sample(inputs, len(inputs))
    first, second = sketch_of(mixed[:cut]), sketch_of(mixed[cut:])
    assert InputSketch().merge(second).merge(first).summary() == whole


@pytest.mark.parametrize(
    "other",
    [
        [("a", "x")],
        [("a", "x"), ("b", "y"), ("b", "y")],
        [("a", "x"), ("b", None)],
        [("a", "y"), ("b", "x")],
        [("ax", ""), ("b", "y")],
    ],
)
def test_other_inputs_have_another_digest(other: list[Input]) -> None:
    one, two = sketch_of([("a", "x"), ("b", "y")]).summary(), sketch_of(other).summary()
    assert (one.items, one.digest) != (two.items, two.digest)
    assert one.digest != two.digest


def test_few_inputs_are_one_partition() -> None:
    assert InputSketch().summary() == InputSummary(0, "0" * 64, ())
    assert sketch_of([("a", "x")]).summary().borders == ()


def test_many_inputs_are_cut_into_partitions_of_about_the_same_size() -> None:
    count = 2 * SAMPLE_KEYS + 7 * PARTITION_ITEMS
    keys = [f"{n % 13}/{n:07}" for n in range(count)]
    halves = [sketch_of([(key, None) for key in part]) for part in (keys[::2], keys[1::2])]
    assert len(halves[0].sample) <= 2 * SAMPLE_KEYS
    summary = halves[0].merge(halves[1]).summary()
    sizes = Counter(summary.partition_of(key) for key in keys)
    assert sorted(sizes) == list(range(-(-count // PARTITION_ITEMS)))
    assert max(sizes.values()) < 1.2 * PARTITION_ITEMS
    assert min(sizes.values()) > 0.7 * PARTITION_ITEMS


def test_a_border_belongs_to_the_partition_that_it_opens() -> None:
    summary = InputSummary(3, "", ("f", "m"))
    assert [summary.partition_of(key) for key in ("", "e", "f", "l", "m", "z")] == [
        *(0, 0),
        *(1, 1),
        *(2, 2),
    ]
