"""A format of another package is recognised, read, planned and refused like a built-in one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reembed import registry
from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.errors import UsageError
from reembed.formats.policy import ChunkPolicy
from reembed.formats.render import render
from reembed.formats.table import format_named, load_table, register_format
from reembed.ledger.layout import Layout
from reembed.runs.plan import make_plan
from reembed.types import Recipe

TOY = "formats.toy_format"
POEM = b"%POEM The harbour\nBoats lie still.\n; a remark\nGulls do not.\n"
Load = Callable[..., ResolvedConfig]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.poem").write_bytes(POEM)
    (corpus / "b.poem").write_bytes(b"%POEM Only a title\n; and a remark\n")
    (corpus / "c.poem").write_bytes(b"No poem at all, but words.\n")
    (corpus / "d.txt").write_bytes(b"Only words, and nothing else.\n")

    def load(**sections: Any) -> ResolvedConfig:
        data = {"name": "poems", "run_dir": "./run", "source": {"files": ["corpus/**"]}}
        return config_from_mapping({**data, **sections}, tmp_path)

    yield load
    registry._added.clear()
    sys.modules.pop(TOY, None)


def rows_of(loaded: ResolvedConfig) -> tuple[str, dict[str, dict[str, Any]]]:
    """Plan; return the plan's name, and its chunks by key."""
    plan = make_plan(loaded).plan
    folder = Path(Layout(loaded.config.run_dir).plan_dir(plan))
    tables = [pq.read_table(path).to_pylist() for path in sorted(folder.glob("shards/*.parquet"))]
    return plan, {row["key"].rpartition("/")[2]: row for rows in tables for row in rows}


def test_a_toy_format_is_planned(load: Load) -> None:
    plan, before = rows_of(load())
    assert before["a.poem"]["mime_type"] == "text/plain"
    loaded = load(extensions=[TOY])
    again, rows = rows_of(loaded)
    assert again != plan
    poem = rows["a.poem"]
    assert (poem["title"], poem["text"]) == ("The harbour", "Boats lie still.\nGulls do not.")
    assert (poem["mime_type"], poem["chunker"]) == ("text/x-poem", "poem/1")
    # What it was before is other content; what it never was keeps what is paid.
    assert poem["content_hash"] != before["a.poem"]["content_hash"]
    assert rows["d.txt"]["content_hash"] == before["d.txt"]["content_hash"]
    refused = rows["b.poem"]
    assert (refused["reject_code"], refused["reject_stage"]) == ("poem_without_verses", "chunk")
    assert rows["c.poem"]["warnings"] == ["named .poem, holds text"]
    kept = Path(loaded.config.run_dir, "extracted", f"{poem['source_hash']}.poem-1.txt")
    assert kept.read_text() == poem["text"]


def test_a_worker_without_the_format_does_not_take_its_files_for_text(load: Load) -> None:
    policy = ChunkPolicy.of(load(extensions=[TOY]).config)
    registry._added.clear()
    with pytest.raises(UsageError, match=r"\[\] in this process and were \['poem'\] where the run"):
        policy.table()


def test_names_and_operations_belong_to_one_format(load: Load) -> None:
    load(extensions=[TOY])
    poem = load_table().by_name["poem"]
    register_format(poem)
    with pytest.raises(UsageError, match="'poem' was added twice"):
        register_format(replace(poem, version=2))
    with pytest.raises(UsageError, match="'png' is a built-in format; give yours another name"):
        register_format(replace(poem, name="png"))
    image = replace(format_named("png"), name="painting", renders=(("pdf", lambda *_: b""),))
    registry.add("reembed.formats", "painting", image)
    with pytest.raises(UsageError, match="operation 'pdf' is rendered in two ways"):
        load_table()


def test_what_is_no_format_is_refused(load: Load) -> None:
    registry.add("reembed.formats", "odd", "formats.toy_format:extract_poem")
    with pytest.raises(UsageError, match="'odd' is not a Format of that name but <function"):
        load_table()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "No name"}, "give a name of a-z, 0-9 and hyphens"),
        ({"remedy": "leave it"}, "give one of extract, cut and remedy"),
        ({"version": 0}, "give a version from 1 on"),
        ({"suffixes": ("poem",)}, "give suffix 'poem' as '.xyz'"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(
    load: Load, fields: dict[str, Any], words: str
) -> None:
    load(extensions=[TOY])
    with pytest.raises(ValueError, match=words):
        replace(load_table().by_name["poem"], **fields)


def test_media_of_another_package_are_rendered_by_it(load: Load) -> None:
    upper = ("upper", lambda recipe, source, policy: source.read().upper())
    registry.add(
        "reembed.formats", "shout", replace(format_named("png"), name="shout", renders=(upper,))
    )
    policy = ChunkPolicy.of(load().config)
    source = Path(load().config.run_dir).parent / "corpus" / "d.txt"
    with source.open("rb") as stream:
        assert render(Recipe("upper", "image/png"), stream, policy).startswith(b"ONLY WORDS")
        with pytest.raises(UsageError, match="'whisper', which no format here does"):
            render(Recipe("whisper", "image/png"), stream, policy)
