"""Request lines of a shard: all of them once, in the order of the wire, whatever their rows."""

import hashlib
from dataclasses import replace

import orjson
import pytest

from reembed.config.schema import Config
from reembed.core.manifest import manifest_of
from reembed.core.names import wire_key
from reembed.core.pack import pack_partition
from reembed.driver.render import Renderer, ordinals_in_wire_order
from reembed.errors import RejectError
from reembed.formats.policy import ChunkPolicy
from reembed.providers.gemini.wire import GeminiWire
from reembed.providers.open import packing_of
from reembed.storage.content import ContentReader
from reembed.storage.local import LocalStorage
from reembed.types import Recipe, Reject

CONFIG = Config.model_validate({"name": "t", "source": {"files": ["*"]}})


def packed(chunks):
    """One shard of chunks, planned."""
    table = manifest_of(chunks, GeminiWire.of(CONFIG))
    [shard] = pack_partition(table, 0, packing_of(CONFIG))
    return shard


def renderer(inline=False):
    places = ContentReader.of(CONFIG.source, LocalStorage(), "given")
    return Renderer(places, ChunkPolicy.of(CONFIG), GeminiWire.of(CONFIG), inline)


def rendered(shard, path, ordinals=None):
    """Key and text of each line, in the file's order."""
    prepared, unsent = renderer().render(shard.plan, shard.manifest, ordinals, path)
    assert not unsent
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert prepared.sent == len(lines)
    assert prepared.size == path.stat().st_size
    texts = [line["request"]["content"]["parts"][0]["text"] for line in lines]
    return [line["key"] for line in lines], [text.split(" | text: ")[1] for text in texts]


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 1000])
def test_each_request_is_a_line_and_canaries_repeat_their_twins(text, tmp_path, count):
    chunks = [text(n) for n in range(count)]
    shard = packed(chunks)
    keys, texts = rendered(shard, tmp_path / "lines")
    order = ordinals_in_wire_order(shard.plan, None)
    assert len(order) == count + shard.plan.canaries
    assert keys == [wire_key(shard.plan.fingerprint, ordinal) for ordinal in order]
    known = {chunk.text for chunk in chunks}
    for ordinal, sent in zip(order, texts, strict=True):
        assert sent in known if ordinal >= count else sent == chunks[ordinal].text


def test_rows_without_a_request_and_rows_that_share_one(text, tmp_path):
    bad = Reject("empty", "nothing in it", "plan")
    shared = [replace(text(n), text=text(n % 300).text) for n in range(900)]
    chunks = [replace(c, text=None, reject=bad) if n % 7 == 3 else c for n, c in enumerate(shared)]
    shard = packed(chunks)
    wanted = list(dict.fromkeys(c.text for c in chunks if c.text is not None))
    _, texts = rendered(shard, tmp_path / "lines", ((0, len(wanted)),))
    assert texts == wanted


def test_a_piece_sends_its_own_ordinals_alone(text, tmp_path):
    shard = packed([text(n) for n in range(700)])
    keys, texts = rendered(shard, tmp_path / "lines", ((3, 5), (270, 530)))
    ordinals = [3, 4, *range(270, 530)]
    assert keys == [wire_key(shard.plan.fingerprint, ordinal) for ordinal in ordinals]
    assert texts == [text(ordinal).text for ordinal in ordinals]


def test_media_stand_between_texts_and_are_taken_where_they_are_still_to_be_had(text, tmp_path):
    data, paths = b"%PDF-1.7 of no pages", [tmp_path / "gone.pdf", tmp_path / "there.pdf"]
    paths[1].write_bytes(data)
    at = {"text": None, "modality": "pdf", "mime_type": "application/pdf", "generation": ""}
    recipe = {"recipe": Recipe("as_is", "application/pdf")}
    digest = hashlib.sha256(data).hexdigest()
    media = [
        replace(text(300 + n), **at, **recipe, uri=str(path), source_hash=digest)
        for n, path in enumerate(paths)
    ]
    lost = replace(media[0], source_hash="0" * 64, position=text(302).position)
    shard = packed([*(text(n) for n in range(300)), *media, lost, text(400)])
    assert shard.manifest.column("request").to_pylist()[-4:] == [300, 300, 301, 302]
    made = dict(renderer().each(shard.plan, shard.manifest, ((299, 303),)))
    assert b"number 299" in made[299].line
    assert b"inlineData" in made[300].line
    assert isinstance(made[301], RejectError)
    assert made[301].code == "source_changed"
    assert b"number 400" in made[302].line


def test_the_form_of_an_inline_job_is_one_line_each_too(text, tmp_path):
    shard = packed([text(n) for n in range(3)])
    renderer(inline=True).render(shard.plan, shard.manifest, None, tmp_path / "lines")
    lines = [orjson.loads(line) for line in (tmp_path / "lines").read_bytes().splitlines()]
    assert [sorted(line) for line in lines] == [["metadata", "request"]] * 4
    assert {line["request"]["model"] for line in lines} == {f"models/{CONFIG.model.name}"}
