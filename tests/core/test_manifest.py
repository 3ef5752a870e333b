from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.config.schema import Config
from reembed.core.manifest import (
    fingerprint_of,
    manifest_of,
    number_requests,
    recipe_from_json,
    recipe_to_json,
    request_groups,
)
from reembed.core.schema import MANIFEST
from reembed.providers.gemini.wire import GeminiWire
from reembed.types import Chunk, Position, Recipe, Reject

WIRE = GeminiWire.of(Config.model_validate({"name": "t", "source": {"files": ["*"]}}))
SECONDS = st.none() | st.floats(0, 1e6)
RECIPES = st.builds(
    Recipe,
    st.sampled_from(["as_is", "image", "audio", "video", "pdf"]),
    st.sampled_from(["image/png", "audio/wav"]),
    SECONDS,
    SECONDS,
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3).map(tuple),
)


def chunk(index=0, **changes):
    base = Chunk(
        key=f"k{index}",
        uri=f"/c/{index}.txt",
        position=Position(index),
        part=0,
        parts=1,
        modality="text",
        mime_type="text/plain",
        tokens=9,
        input_bytes=5,
        generation="g1",
        source_hash="s",
        content_hash="c",
        chunker="text/1",
        text=f"hello {index}",
    )
    return replace(base, **changes)


@given(RECIPES)
def test_a_recipe_comes_back_as_it_went(recipe):
    assert recipe_from_json(recipe_to_json(recipe)) == recipe


def test_a_manifest_holds_chunks_in_their_order_with_their_bytes_on_the_wire():
    image = Recipe("as_is", "image/png")
    chunks = [
        chunk(0, text='"quoted"\n', title="T"),
        chunk(1, text=None, recipe=image, modality="image", input_bytes=3000),
        chunk(2, text=None, reject=Reject("empty", "nothing in it", "plan"), warnings=("w",)),
    ]
    table = manifest_of(chunks, WIRE)
    assert table.schema == MANIFEST
    rows = table.to_pylist()
    assert [row["key"] for row in rows] == ["k0", "k1", "k2"]
    assert rows[0]["input_bytes"] > len('"quoted"\n')
    assert rows[1]["input_bytes"] >= 4000
    assert rows[2]["input_bytes"] == 0
    assert (rows[2]["reject_code"], rows[2]["warnings"]) == ("empty", ["w"])
    assert [row["request"] for row in rows] == [None] * 3


def test_requests_are_numbered_over_what_is_usable():
    bad = Reject("empty", "nothing in it", "plan")
    table = manifest_of([chunk(0), chunk(1, reject=bad, text=None), chunk(2)], WIRE)
    numbered = number_requests(table, request_groups(table, with_titles=True))
    assert numbered.column("request").to_pylist() == [0, None, 1]
    assert numbered.schema == MANIFEST


def test_equal_requests_share_a_number():
    cut = Recipe("audio", "audio/wav", 0.0, 2.0)
    media = {"text": None, "modality": "audio", "recipe": cut}
    chunks = [
        chunk(0, text="a", title="T"),
        chunk(1, text="b", title="T"),
        chunk(2, text="a", title="T"),
        chunk(3, text="a", title="U"),
        chunk(4, **media, source_hash="h1"),
        chunk(5, **media, source_hash="h2"),
        chunk(6, **media, source_hash="h1"),
        chunk(7, text="a", title="T", reject=Reject("empty", "no", "plan")),
    ]
    table = manifest_of(chunks, WIRE)
    numbered = number_requests(table, request_groups(table, with_titles=True))
    assert numbered.column("request").to_pylist() == [0, 1, 0, 2, 3, 4, 3, None]
    # Where titles are not sent, they tell nothing apart.
    assert request_groups(table, with_titles=False).tolist() == [0, 1, 0, 0, 2, 3, 2, -1]


def test_what_the_destination_holds_asks_for_nothing():
    table = manifest_of([chunk(0), chunk(1)], WIRE)
    at = table.schema.get_field_index("donor")
    held = table.set_column(at, MANIFEST.field("donor"), pa.array([None, "other"]))
    assert request_groups(held, with_titles=True).tolist() == [0, -1]
    assert fingerprint_of(held, b"x") != fingerprint_of(table, b"x")


def test_a_fingerprint_does_not_depend_on_how_a_table_lies_in_memory():
    chunks = [chunk(n) for n in range(3000)]
    whole = manifest_of(chunks, WIRE)
    pieces = pa.concat_tables([manifest_of(chunks[:7], WIRE), manifest_of(chunks[7:], WIRE)])
    assert pieces.column("key").num_chunks == 2
    assert fingerprint_of(whole, b"x") == fingerprint_of(pieces, b"x")
    later = manifest_of([chunk(9), *chunks], WIRE).slice(1)
    assert fingerprint_of(later, b"x") == fingerprint_of(whole, b"x")


@pytest.mark.parametrize(
    "change",
    [
        {"text": "other"},
        {"key": "other"},
        {"title": "other"},
        {"generation": "g2"},
        {"source_hash": "t"},
        {"chunker": "text/2"},
        {"recipe": Recipe("as_is", "image/png"), "text": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_a_request_changes_the_fingerprint(change):
    before = fingerprint_of(manifest_of([chunk(0), chunk(1)], WIRE), b"x")
    after = fingerprint_of(manifest_of([chunk(0), chunk(1, **change)], WIRE), b"x")
    assert before != after
    assert before != fingerprint_of(manifest_of([chunk(0), chunk(1)], WIRE), b"y")


def test_characters_that_move_into_the_next_row_change_the_fingerprint():
    texts = [("ab", "c"), ("a", "bc"), ("abc", ""), ("abc", None), (None, "abc")]
    found = {
        fingerprint_of(manifest_of([chunk(0, text=a), chunk(0, text=b)], WIRE), b"x")
        for a, b in texts
    }
    assert len(found) == len(texts)


def test_what_lies_behind_a_null_does_not_show_in_a_fingerprint():
    table = manifest_of([chunk(0), chunk(1, text=None)], WIRE)
    at, field = table.schema.get_field_index("text"), MANIFEST.field("text")
    _, offsets, data = pa.array(["hello 0", "rubbish"]).buffers()
    bits = pa.py_buffer(b"\x01")
    dirty = pa.StringArray.from_buffers(2, offsets, data, bits, 1)
    assert dirty.to_pylist() == ["hello 0", None]
    assert fingerprint_of(table.set_column(at, field, dirty), b"x") == fingerprint_of(table, b"x")


def test_a_manifest_of_no_rows_has_a_fingerprint():
    assert len(fingerprint_of(manifest_of([], WIRE), b"x")) == 64
