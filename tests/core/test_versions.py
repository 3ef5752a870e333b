"""What was paid stays paid: content hashes from before versions went by format, and after."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from reembed.config.frozen import frozen_view
from reembed.config.schema import Config
from reembed.core.chunk import chunk_item, chunk_text_item
from reembed.core.mixed import OpenPart, chunk_parts
from reembed.core.plans import plan_id
from reembed.formats.policy import ChunkPolicy
from reembed.formats.recognise import recognise
from reembed.formats.signatures import HEAD_BYTES
from reembed.formats.table import FORMATS, Table, format_named, load_table
from reembed.types import Item, Position

# Made by the version whose versions went by modality: a small file of each format, and the content
# hash and versions that its rows were paid under.
GOLDEN = json.loads((Path(__file__).parent / "golden_hashes.json").read_text())
CONFIG = Config.model_validate(
    {
        "name": "golden",
        "source": {"files": ["*"]},
        "chunking": {"video": {"soundtrack": "separate"}},
    }
)
POLICY = ChunkPolicy.of(CONFIG)


def item(name, title=None):
    return Item(name, f"/data/{name}", Position(0), 1, "g1", title=title)


def source_of(label):
    return io.BytesIO(base64.b64decode(GOLDEN["files"][label]["data"]))


def part_of(label):
    name = GOLDEN["files"][label]["name"]
    return OpenPart(source=source_of(label), name=name, uri=f"/data/{name}")


def check(chunked, golden):
    assert {chunk.content_hash for chunk in chunked.chunks} == {golden["content_hash"]}
    assert [chunk.chunker for chunk in chunked.chunks] == golden["chunkers"]


@pytest.mark.parametrize("label", GOLDEN["files"])
def test_every_format_keeps_the_content_hash_that_it_was_paid_under(label):
    golden = GOLDEN["files"][label]
    known = recognise(source_of(label).read(HEAD_BYTES), golden["name"]).format
    if not known.has_first_version():
        pytest.skip(f"{known.name} was raised to {known.version}: bought again on purpose")
    check(chunk_item(item(golden["name"]), source_of(label), POLICY), golden)


def test_texts_of_rows_mixed_content_and_rejects_keep_theirs():
    others = GOLDEN["others"]
    check(
        chunk_text_item(item("row", "A title"), "Words of a row.", POLICY), others["text of a row"]
    )
    parts = [OpenPart(text="Words."), part_of("PNG"), part_of("HTML"), part_of("PDF")]
    if format_named("html").has_first_version():
        check(chunk_parts(item("m", "A title"), parts, POLICY), others["mixed"])
    archive = io.BytesIO(b"PK\x03\x04" + bytes(40))
    check(chunk_item(item("x.zip"), archive, POLICY), others["reject"])


def test_plans_keep_their_names_where_no_format_is_new():
    versions = Table(tuple(each for each in FORMATS if each.has_first_version())).versions()
    assert plan_id({"schema": 1}, versions, [b"state"]) == GOLDEN["plan"]
    assert plan_id(frozen_view(CONFIG), versions, [b"state"]) == GOLDEN["plan_of_config"]


def test_a_file_of_each_format_of_that_time_is_among_them():
    # WMA and AMR cannot be written here; their containers' formats are asked for all the same.
    written = {label.partition(",")[0].partition(" with")[0] for label in GOLDEN["files"]}
    names = {each.label for each in FORMATS if each.has_first_version()}
    assert names - written == {"AMR"}


NEXT_HTML = f"html/{format_named('html').version + 1}"


def raised(name):
    """The table with one format's version raised."""
    return Table(
        tuple(
            replace(each, version=each.version + 1) if each.name == name else each
            for each in FORMATS
        )
    )


class Raised(ChunkPolicy):
    """A policy under which one format has its next version."""

    def table(self):
        return raised("html")


def test_raising_one_format_buys_no_row_of_another_again():
    policy = Raised(
        POLICY.chunking, POLICY.spec, POLICY.dimensions, POLICY.task, POLICY.max_media_bytes
    )
    changed = set()
    for label, golden in GOLDEN["files"].items():
        before = chunk_item(item(golden["name"]), source_of(label), POLICY).chunks
        after = chunk_item(item(golden["name"]), source_of(label), policy).chunks
        if after[0].content_hash != before[0].content_hash:
            changed.add(label)
            assert {chunk.chunker for chunk in after} == {NEXT_HTML}
    assert changed == {"HTML"}
    mixed = [OpenPart(text="Words."), part_of("PNG"), part_of("PDF")]
    paid = chunk_parts(item("m"), mixed, POLICY).chunks[0].content_hash
    mixed = [OpenPart(text="Words."), part_of("PNG"), part_of("PDF")]
    assert chunk_parts(item("m"), mixed, policy).chunks[0].content_hash == paid
    with_page = chunk_parts(item("m", "A title"), [part_of("HTML")], policy).chunks[0]
    assert with_page.content_hash != (
        chunk_parts(item("m", "A title"), [part_of("HTML")], POLICY).chunks[0].content_hash
    )


def test_a_raised_version_makes_another_plan():
    assert raised("html").versions() == {**load_table().versions(), "html": NEXT_HTML}


def test_the_next_version_is_named_by_the_format_and_holds_for_all_its_pieces():
    mp4 = format_named("mp4")
    assert (mp4.version_for("video"), mp4.version_for("audio")) == ("video/1", "audio/1")
    mp4 = replace(mp4, version=2)
    assert (mp4.version_for("video"), mp4.version_for("audio")) == ("mp4/2", "mp4/2")
    assert format_named("zip").version_for("unknown") == "none/1"
