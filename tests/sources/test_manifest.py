"""Every line of a manifest is an item or a reject with its line; repeated keys are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reembed.config.load import config_from_mapping
from reembed.core.names import PARTITION_ITEMS
from reembed.errors import ObjectNotFoundError, UsageError
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import RunDir
from reembed.sources.base import Source
from reembed.sources.manifest import ManifestFile, ManifestReader
from reembed.sources.open import open_source
from reembed.sources.uris import Resolver
from reembed.storage.local import LocalStorage
from reembed.types import Item, ItemPart, Position

Open = Callable[..., Source]
Read = Callable[[Source], list[Item]]


def codes(items: list[Item]) -> list[str | None]:
    return [item.reject.code if item.reject else None for item in items]


def test_every_kind_of_line(tmp_path: Path, source_of: Open, read_all: Read) -> None:
    lines = [
        '{"key": "a", "text": "words", "title": "T", "metadata": {"n": 1}}',
        '{"key": 7, "uri": "photos/p.jpg"}',
        "",
        '{"key": "c", "uri": "gs://b/o.pdf", "title": null}',
        '{"key": "d", "uri": "data:,hi"}',
        '{"key": "e", "parts": [{"text": "x"}, {"uri": "q.png"}, {"uri": "data:,hi"}]}',
    ]
    data = b"\xef\xbb\xbf" + "\r\n".join(lines).encode()
    (tmp_path / "m.jsonl").write_bytes(data)
    a, b, c, d, e = read_all(source_of(manifest=["m.jsonl"]))
    place = str(tmp_path / "m.jsonl")
    state = LocalStorage().stat(place).generation
    assert a == Item("a", place, Position(0, 0), 0, state, "", "T", '{"n":1}', "words")
    assert b == Item("7", str(tmp_path / "photos/p.jpg"), Position(1, b.position.offset))
    assert (c.uri, c.generation, c.position.index) == ("gs://b/o.pdf", "", 2)
    assert (d.uri, d.data, d.generation) == (f"{place}:5", "data:,hi", state)
    assert e.parts == (
        ItemPart("x"),
        ItemPart(uri=str(tmp_path / "q.png")),
        ItemPart(uri="data:,hi"),
    )
    for item in (b, c, d, e):
        assert data[item.position.offset :].startswith(b"{")


def test_csv_with_a_header(tmp_path: Path, source_of: Open, read_all: Read) -> None:
    rows = [
        'title,key,text,"metadata",parts',
        '"A, B",a,"two',
        'lines, and ""quotes""",,',
        ',b,,"{""n"": 2}","[{""text"": ""x""}]"',
        ",c,too,many,cells,here",
        ",d,x,{,",
        ',e,"open',
    ]
    (tmp_path / "m.csv").write_bytes(b"\n\xef\xbb\xbf"[1:] + "\n".join(rows).encode())
    a, b, c, d, e = read_all(source_of(manifest=["*.csv"]))
    assert (a.key, a.title, a.text) == ("a", "A, B", 'two\nlines, and "quotes"')
    assert (b.parts, b.metadata) == ((ItemPart("x"),), '{"n":2}')
    assert codes([c, d, e]) == ["bad_line"] * 3
    assert (c.key, d.key, e.key) == ("m.csv:5", "m.csv:6", "m.csv:7")
    assert "it has 6 cells, and the header 5" in (c.reject.message if c.reject else "")


BAD = [
    (b"{", "bad_line", "not JSON"),
    (b"[1]", "bad_line", "not a JSON object"),
    ('{"key": "é", "text": "x"}'.encode("latin-1"), "bad_line", "not JSON in UTF-8"),
    (b'{"key": "k", "text": "\\ud800"}', "bad_line", "not JSON"),
    (b'{"key": "k", "titel": "x"}', "bad_line", "unknown field 'titel'; did you mean title?"),
    (b'{"key": true, "text": "x"}', "bad_line", "key is not text"),
    (b'{"key": "k", "text": 5}', "bad_line", "text is not text"),
    (b'{"key": "k", "text": "x", "metadata": []}', "bad_line", "metadata is not an object"),
    (b'{"key": "k", "text": "x", "uri": "y"}', "bad_line", "uri and text, of which"),
    (b'{"text": "x"}', "no_key", "no key"),
    (b'{"key": "", "text": "x"}', "no_key", "no key"),
    (b'{"key": "k"}', "no_content", "none of uri, text and parts"),
    (b'{"key": "k", "parts": []}', "bad_parts", "not empty"),
    (b'{"key": "k", "parts": "x"}', "bad_parts", "parts cannot be read"),
    (b'{"key": "k", "uri": "s3://b/o"}', "unsupported_uri", "s3:// is not read"),
    (b'{"key": "k", "uri": "http://example.com/"}', "unsupported_uri", "http:// is not read"),
    (b'{"key": "k", "uri": "file:///etc/passwd"}', "unsupported_uri", "file:// is not read"),
    (b'{"key": "k", "uri": "https://example.com/"}', "uri_not_allowed", "source.https: true"),
    (b'{"key": "k", "uri": "gs://bucket"}', "bad_uri", "names no object"),
    (b'{"key": "k", "uri": "gs:///o"}', "bad_uri", "not a Cloud Storage name"),
    (b'{"key": "k", "uri": ""}', "bad_uri", "not the path"),
    (b'{"key": "k", "uri": "a\\u0000b"}', "bad_uri", "not the path"),
    (b'{"key": "k", "parts": [{"text": "x"}, {"uri": "s3://b"}]}', "unsupported_uri", "part 2"),
]


@pytest.mark.parametrize(("line", "code", "message"), BAD)
def test_a_bad_line_is_a_reject_that_says_where(
    tmp_path: Path, source_of: Open, read_all: Read, line: bytes, code: str, message: str
) -> None:
    (tmp_path / "m.jsonl").write_bytes(b'\n{"key": "good", "text": "x"}\n' + line)
    source = source_of(manifest=["m.jsonl"])
    good, bad = read_all(source)
    assert (good.key, good.reject) == ("good", None)
    assert bad.reject is not None
    assert (bad.reject.code, bad.reject.stage) == (code, "read")
    assert bad.reject.message.startswith("m.jsonl, line 3: ")
    assert message in bad.reject.message
    assert bad.key in ("k", "m.jsonl:3")


def test_lines_are_numbered_over_all_manifests(
    tmp_path: Path, source_of: Open, read_all: Read
) -> None:
    (tmp_path / "b.jsonl").write_text('{"key": "last", "text": "x"}')
    count = PARTITION_ITEMS + 3000
    lines = (b'{"key": "k%d", "text": "t"}\n' % n for n in range(count))
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    items = read_all(source_of(manifest=["*.jsonl"]))
    assert [item.position.index for item in items] == list(range(count + 1))
    assert [items[0].key, items[count - 1].key, items[-1].key] == ["k0", f"k{count - 1}", "last"]


def test_doubled_keys_are_refused_with_their_lines(
    tmp_path: Path, source_of: Open, read_all: Read
) -> None:
    (tmp_path / "a.jsonl").write_text('{"key": "x", "text": "1"}\n{"key": "y", "text": "1"}\n')
    (tmp_path / "b.csv").write_text("key,text\nz,1\nx,2\nx,3\n")
    message = r"1 keys came more than once.*'x' \(3 times, at a\.jsonl:1, b\.csv:3, b\.csv:4\)"
    with pytest.raises(UsageError, match=message):
        read_all(source_of(manifest=["*.jsonl", "*.csv"]))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("m.csv", "", "is empty"),
        ("m.csv", "id,text\n", "unknown column 'id'"),
        ("m.csv", "key,key\n", "names a column twice"),
        ("m.csv", '"key', "is not a header"),
        ("m.jsonl", '[{"key": "a"}]', "holds a JSON array"),
        ("m.jsonl", "key\n".encode("utf-16"), "is in UTF-16"),
        ("m", b"\x1f\x8b\x08", "is compressed"),
        ("m", "some words\n", "unknown column"),
    ],
)
def test_a_file_that_is_no_manifest(
    tmp_path: Path, source_of: Open, name: str, data: str | bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(UsageError, match=message):
        source_of(manifest=[name])
    with pytest.raises(UsageError, match="matches no file"):
        source_of(manifest=["nothing.jsonl"])


def test_the_form_is_told_by_the_content_where_the_name_does_not(
    tmp_path: Path, source_of: Open, read_all: Read
) -> None:
    (tmp_path / "a.txt").write_text('\n{"key": "a", "text": "x"}')
    (tmp_path / "b.txt").write_text("\nkey,text\nb,x")
    assert [i.key for i in read_all(source_of(manifest=["*.txt"]))] == ["a", "b"]


def test_a_sample_is_the_same_keys(tmp_path: Path, source_of: Open, read_all: Read) -> None:
    lines = [orjson.dumps({"key": f"k{n}", "text": "x"}) for n in range(300)] + [b"{"]
    (tmp_path / "m.jsonl").write_bytes(b"\n".join(lines))
    small = {i.key for i in read_all(source_of(manifest=["m.jsonl"], sample=7))}
    large = {i.key for i in read_all(source_of(manifest=["m.jsonl"], sample=60))}
    assert (len(small), len(large)) == (7, 60)
    assert small <= large
    assert len(read_all(source_of(manifest=["m.jsonl"], sample=999))) == 301


def test_the_state_of_a_manifest_is_held(tmp_path: Path, source_of: Open, read_all: Read) -> None:
    (tmp_path / "m.jsonl").write_text('{"key": "a", "text": "x"}')
    source = source_of(manifest=["m.jsonl"])
    assert source.describe() == "1 lines in 1 manifests"
    (tmp_path / "m.jsonl").write_text('{"key": "a", "text": "xy"}\n{')
    changed = source_of(manifest=["m.jsonl"])
    assert changed.describe() == "2 lines in 1 manifests, of which 1 cannot be read"
    assert b"".join(source.identity()) != b"".join(changed.identity())
    with pytest.raises(ObjectNotFoundError):
        read_all(source)


def test_a_manifest_in_a_bucket_names_no_files_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"key": "a", "uri": "/etc/passwd"}\n{"key": "b", "uri": "gs://b/o"}\n')

    class Bucket(LocalStorage):
        def open(self, uri: str, generation: str = "") -> Any:
            return path.open("rb")

    from reembed.sources.base import Span

    remote = ManifestFile("gs://b/m.jsonl", "1", "gs://b/m.jsonl", None)
    reader = ManifestReader((remote,), Resolver(str(tmp_path)))
    [block] = reader.read(Bucket(), Span("gs://b/m.jsonl", 0, 999))
    assert codes(list(block.items)) == ["uri_not_allowed", None]


VALUES = st.one_of(
    st.none(), st.integers(-(2**60), 2**60), st.text(max_size=8), st.lists(st.text(max_size=3))
)
LINES = st.one_of(
    st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b" ")),
    st.dictionaries(
        st.sampled_from(["key", "uri", "text", "parts", "title", "metadata", "more"]), VALUES
    ).map(lambda fields: orjson.dumps(fields, option=orjson.OPT_NON_STR_KEYS)),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(LINES, max_size=12), st.sampled_from([b"\n", b"\r\n"]))
def test_whatever_the_lines_hold_each_is_an_item(
    tmp_path: Path, read_all: Read, lines: list[bytes], end: bytes
) -> None:
    (tmp_path / "m.jsonl").write_bytes(b" " + end + end.join(lines))
    loaded = config_from_mapping({"name": "t", "source": {"manifest": ["m.jsonl"]}}, tmp_path)
    try:
        source = open_source(loaded, LocalStorage())
        items = read_all(source)
    except UsageError as err:
        message = str(err)
        assert "came more than once" in message or "is in" in message or "array" in message
        return
    filled = sum(bool(line.strip()) for line in lines)
    assert len(items) in (filled, filled - 1)  # a line of nothing but a mark is none
    assert [item.position.index for item in items] == list(range(len(items)))
    for item in items:
        content = (item.text, item.data, item.parts or None)
        assert item.key
        if item.reject is None and item.generation:
            assert sum(each is not None for each in content) == 1
    layout = Layout(str(tmp_path / "run"))
    assert source.prepare(RunDir(LocalStorage(), layout), "p").items == len(items)
