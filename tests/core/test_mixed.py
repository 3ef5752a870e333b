"""Parts share one request and one vector; what the model does not take together is refused."""

import io

import orjson
import pyarrow as pa
import pytest

from reembed.config.models import MODELS
from reembed.core.manifest import (
    TokenCounts,
    manifest_of,
    recipe_from_json,
    recipe_to_json,
    request_groups,
)
from reembed.core.mixed import OpenPart, chunk_parts
from reembed.core.names import wire_key
from reembed.core.pack import need_of_requests
from reembed.core.wire import MediaPart, MixedPart, TextPart
from reembed.providers.gemini.check import RequestLimits, fault_of
from reembed.providers.gemini.requests import (
    RequestOptions,
    embed_request,
    jsonl_line,
    request_bytes,
    to_json,
)
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.types import Item, Position

SPEC = MODELS["gemini-embedding-2"]
OPTIONS = RequestOptions(SPEC.name, 768, "retrieval_document", "prefix")
WIRE = GeminiWire(OPTIONS, RequestLimits(SPEC, 10_000))
ITEM = Item("k", "/m.jsonl", Position(3, 90), generation="g", title="A boat", metadata="{}")


@pytest.fixture
def opened(files):
    def make(*labels):
        return [
            OpenPart(text=label[1:])
            if label.startswith("=")
            else OpenPart(None, io.BytesIO(files[label]), "", f"/o/{label}", "g7")
            for label in labels
        ]

    return make


@pytest.fixture
def mixed(opened, policy_of):
    def make(*labels, item=ITEM, **policy):
        [chunk] = chunk_parts(item, opened(*labels), policy_of(**policy)).chunks
        return chunk

    return make


def test_one_chunk_of_all_parts(mixed):
    chunk = mixed("=A caption.", "PNG", "PDF", "=More.")
    assert (chunk.modality, chunk.part, chunk.parts, chunk.uri) == ("mixed", 0, 1, "/m.jsonl")
    assert chunk.text == "A caption.\n\nMore."
    split = dict(chunk.split)
    assert (split["image"], split["pdf"]) == (258, 258)
    assert chunk.tokens == sum(split.values())
    parts = chunk.recipe.parts
    assert [part.modality for part in parts] == ["text", "image", "pdf", "text"]
    assert (parts[1].uri, parts[1].generation) == ("/o/PNG", "g7")
    assert recipe_from_json(recipe_to_json(chunk.recipe)) == chunk.recipe


def test_a_text_file_and_a_page_are_texts(mixed):
    chunk = mixed("text", "HTML")
    assert chunk.text == "Only words, and nothing else.\n\nHello."
    assert dict(chunk.split).keys() == {"text"}


@pytest.mark.parametrize(
    ("labels", "code", "words"),
    [
        (["PNG"] * 7, "parts_over_limit", "part 7: it is number 7 of its kind, image"),
        (["WAV", "MP3"], "parts_over_limit", "part 2: it is number 2 of its kind, audio"),
        (["PDF", "=x", "PDF"], "parts_over_limit", "part 3: it is number 2 of its kind, pdf"),
        (["=x", "=" + "word " * 20000], "parts_over_limit", "part 2"),
        (["PNG", "=" + "7 " * 4000], "parts_over_limit", "part 2: with it the parts count"),
        (["=x", "=  "], "blank_text", "part 2"),
        (["=x", "a ZIP archive"], "unsupported_type", "part 2"),
        (["=\ud800"], "text_not_unicode", "part 1"),
    ],
)
def test_what_does_not_fit_one_request(mixed, labels, code, words):
    chunk = mixed(*labels)
    assert chunk.reject is not None
    assert chunk.reject.code == code
    assert words in chunk.reject.message


def test_a_long_sound_is_not_cut(mixed):
    chunk = mixed("=x", "WAV", model={"limits": {"audio": {"max_seconds": 0.1}}})
    assert chunk.reject.code == "parts_over_limit"
    assert "more audio than one request takes" in chunk.reject.message
    # The configured sizes of chunks do not count: nothing is cut here.
    assert mixed("=x", "WAV", audio={"max_seconds": 0.1, "overlap_seconds": 0}).reject is None


def test_media_for_a_model_of_texts(mixed):
    model = {"name": "gemini-embedding-001"}
    assert mixed("=x", "PNG", model=model).reject.code == "modality_unsupported"
    assert mixed("=x", "=y", model=model).reject is None


def test_the_content_decides_the_hash(mixed):
    one = mixed("=x", "PNG")
    hashes = {
        mixed("=x", "JPEG").content_hash,
        mixed("PNG", "=x").content_hash,
        mixed("=xy", "PNG").content_hash,
        mixed("=x", "PNG", item=Item("k", "/m", Position(0), title="B")).content_hash,
        mixed("=x", "PNG", model={"dimensions": 1536}).content_hash,
    }
    assert len(hashes | {one.content_hash}) == 6
    moved = Item("other", "/elsewhere", Position(9), title="A boat")
    assert mixed("=x", "PNG", item=moved).content_hash == one.content_hash
    # A title is not sent with media alone.
    titled = [mixed("PNG", item=Item("k", "/m", Position(0), title=t)) for t in "AB"]
    assert titled[0].content_hash == titled[1].content_hash


def test_equal_content_at_other_places_is_one_request(mixed, opened, policy_of, files):
    again = [OpenPart(text="x"), OpenPart(None, io.BytesIO(files["PNG"]), "", "/p", "g9")]
    [copy] = chunk_parts(ITEM, again, policy_of()).chunks
    chunks = [mixed("=x", "PNG"), copy, mixed("=y", "PNG"), mixed("PNG", "=x")]
    assert request_groups(manifest_of(chunks, WIRE), True).tolist() == [0, 0, 1, 2]
    other = mixed("=x", "PNG", item=Item("k", "/m", Position(0), title="B"))
    table = manifest_of([chunks[0], other], WIRE)
    assert request_groups(table, True).tolist() == [0, 1]


def test_tokens_are_priced_by_modality(mixed):
    chunk = mixed("=A caption.", "PNG", "WAV")
    table = manifest_of([chunk], WIRE)
    counts, split = TokenCounts.of(table), dict(chunk.split)
    assert dict(counts.of_row(0)) == split
    for counted in (0, 1, 7, chunk.tokens, 10 * chunk.tokens + 3):
        spread = dict(counts.of_row(0, counted))
        assert sum(spread.values()) == counted
        assert spread.keys() == split.keys()
    at = table.schema.get_field_index("request")
    table = table.set_column(at, table.schema.field(at), pa.array([0], pa.int32()))
    from reembed.config.schema import Config

    config = Config.model_validate({"name": "t", "source": {"files": ["*"]}})
    need = need_of_requests(table, packing_of(config))
    dollars = {"text": 100, "image": 225, "audio": 3250}  # billionths a token, by batch
    assert need([0]).usd_nano == sum(dollars[m] * n for m, n in split.items())


def test_the_wire_form_and_its_check():
    part = MixedPart((TextPart("a", "T"), MediaPart(b"png", "image/png"), TextPart("b", "T")))
    request = embed_request(part, OPTIONS)
    sent = orjson.loads(to_json(request))["content"]["parts"]
    assert [each.get("text") for each in sent] == ["title: T | text: a", None, "title: T | text: b"]
    assert sent[1]["inlineData"]["mimeType"] == "image/png"
    line = jsonl_line(wire_key("abcdef0123456789", 1), request)
    assert len(line) <= request_bytes(part, OPTIONS)
    limits = RequestLimits(SPEC, 10_000)
    assert fault_of(part, 300, line, limits) == ""
    assert "takes 8,192" in fault_of(part, 9000, line, limits)
    fewer = MixedPart(part.parts[:2])
    assert "not exactly 2 parts" in fault_of(fewer, 300, line, limits)
    swapped = MixedPart((part.parts[1], part.parts[0], part.parts[2]))
    assert "media are missing" in fault_of(swapped, 300, line, limits)
