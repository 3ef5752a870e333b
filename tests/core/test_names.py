import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.core import names

ATTEMPTS = st.lists(st.integers(0, 20), min_size=1, max_size=5).map(lambda p: ".".join(map(str, p)))


@given(st.tuples(st.integers(0, 10**8 - 1), st.integers(0, 10**6 - 1)))
def test_a_shards_name_can_be_taken_apart(place):
    shard = names.shard_id(*place)
    partition, seq = names.split_shard_id(shard)
    assert (int(partition), int(seq)) == place
    assert partition == names.partition_id(place[0])


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**5)), max_size=20))
def test_the_order_of_names_is_the_order_of_input(places):
    parts = [names.part_name(7, names.shard_id(*place)) for place in sorted(places)]
    assert parts == sorted(parts)


@pytest.mark.parametrize(
    "text", ["", "0-0", "00000000-00000", "00000000-000000\n", "٠٠٠٠٠٠٠٠-٠٠٠٠٠٠", "../../../../etc"]
)
def test_what_is_no_shard_is_named_in_the_error(text):
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is not the name of a shard")):
        names.split_shard_id(text)


def test_partitions_hold_20000_positions():
    assert [names.partition_of(n) for n in (0, 19_999, 20_000, 10**9)] == [0, 0, 1, 50_000]


@given(ATTEMPTS, st.integers(0, 16))
def test_attempts_know_their_place(attempt, number):
    child = names.child(attempt, number)
    assert names.is_attempt(child)
    assert names.depth(child) == names.depth(attempt) + 1
    assert names.generation_of(child) == names.generation_of(attempt)
    assert names.attempt_order(attempt) < names.attempt_order(child)


@pytest.mark.parametrize("text", ["", ".", "0.", ".0", "0..1", "a", "0\n", "٣", "-1"])
def test_what_is_no_attempt(text):
    assert not names.is_attempt(text)


def test_siblings_are_ordered_by_number():
    assert sorted(["0.10", "0.2", "0", "0.2.5"], key=names.attempt_order) == [
        "0",
        "0.2",
        "0.2.5",
        "0.10",
    ]


@given(ATTEMPTS, st.integers(1, 99), st.integers(1, 99))
def test_input_files_have_names_that_the_service_takes_and_that_differ(attempt, one, two):
    a = names.input_file_name("files/", "a1b2c3d4e5f6", "00000000-000001", attempt, one)
    b = names.input_file_name("files/", "a1b2c3d4e5f6", "00000000-000001", attempt, two)
    assert re.fullmatch(r"files/[a-z0-9][a-z0-9-]{0,38}[a-z0-9]", a)
    assert (a == b) == (one == two)
    # Other runs of the same shard and epoch have files of their own.
    assert a != names.input_file_name("files/", "a1b2c3d4ffff", "00000000-000001", attempt, one)


def test_a_display_name_has_four_steps():
    name = names.display_name("run", "00000000-000001", "0.3", "f" * 64)
    assert name.split("/") == ["run", "00000000-000001", "0.3", "f" * 16]


@given(st.integers(0, 10**9 - 1))
def test_wire_keys_come_back(ordinal):
    assert names.parse_wire_key(names.wire_key("abcdef0123456789", ordinal)) == (
        "abcdef01",
        ordinal,
    )


@pytest.mark.parametrize(
    "key",
    [
        "",
        "abcdef01",
        "abcdef01-",
        "abcdef01-01",
        "abcdef01-٣",
        "abcdef01-1\n",
        "ABCDEF01-1",
        "abcdef0-1",
        "abcdef01-1234567890",
        "doc-1",
        "abcdef01--1",
    ],
)
def test_keys_of_others_are_not_ours(key):
    assert names.parse_wire_key(key) is None
