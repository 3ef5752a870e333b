"""A whole run as one step of somebody's pipeline, against the emulator."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from e2e.harness import BATCH, Remote, emulator
from reembed.beam import Embed, Embedding, EmbedInput, EmbedReject
from reembed.beam.embed import PackInputs, check_input
from reembed.beam.engine import LOCAL_RUNNER, beam_options
from reembed.core.input_summary import InputSummary
from reembed.errors import ConfigError, UsageError
from reembed.runs.embed import EmbedTask, NamedPlan, load_embed_config
from support import rerunning

WORDS = ("river", "violin", "granite", "bread", "orbit")
INPUTS = [EmbedInput(f"note {n:03}", f"A {WORDS[n % 5]} and number {n}.") for n in range(40)]
_kept: dict[str, list[Any]] = {}


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with emulator() as served:
        yield served


@pytest.fixture
def settings(tmp_path: Path, remote: Remote) -> dict[str, Any]:
    return {
        "name": "inside",
        "run_dir": str(tmp_path / "run"),
        "batch": {**BATCH, "max_requests": 12},
        "budget": {"max_usd": 1},
        "service": {"base_url": remote.url, "timeout_seconds": 2},
    }


def keep(whole: list[Any], name: str) -> None:
    _kept[name] = whole


def embed(
    inputs: list[Any], settings: Any, runner: str = LOCAL_RUNNER, **more: Any
) -> tuple[list[Embedding], list[EmbedReject]]:
    """Run a pipeline of the caller's; vectors in their order."""
    _kept.clear()
    options = PipelineOptions([f"--runner={runner}"])
    with beam.Pipeline(options=options) as pipeline:
        result = pipeline | beam.Create(inputs) | Embed(settings, **more)
        for name, rows in result._asdict().items():
            whole = rows | f"All_{name}" >> beam.combiners.ToList()
            _ = whole | f"Keep_{name}" >> beam.Map(keep, name)
    return sorted(_kept["vectors"], key=lambda each: each.order), _kept["rejects"]


def jobs_in(remote: Remote, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every job that a run directory's run has bought."""
    from reembed.ledger.run_dir import open_run_dir

    newest = open_run_dir(settings["run_dir"]).newest_commit()
    assert newest is not None
    return remote.jobs_of(newest.commit.run)


def test_vectors_come_out_in_the_order_of_keys_and_a_second_pipeline_buys_nothing(
    remote: Remote, settings: dict[str, Any]
) -> None:
    shuffled = random.Random(7).sample(INPUTS, len(INPUTS))
    vectors, rejects = embed(shuffled, settings)
    assert [each.key for each in vectors] == [each.key for each in INPUTS]
    assert len({each.order for each in vectors}) == len(vectors)
    assert not rejects
    for each in vectors:
        assert np.linalg.norm(each.embedding) == pytest.approx(1, abs=1e-5)
    jobs = jobs_in(remote, settings)
    assert len(jobs) == 4
    again, _ = embed(INPUTS, settings)
    assert again == vectors
    assert jobs_in(remote, settings) == jobs


def test_uris_titles_and_pairs_are_taken_and_what_has_no_content_is_a_reject(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("<html><title>Bread</title><body><p>About bread.</p></body></html>")
    inputs = [
        EmbedInput("c", uri=str(page), metadata='{"shelf": 4}'),
        EmbedInput("b", "A violin.", title="Strings"),
        EmbedInput("d"),
        EmbedInput("e", uri="data:text/plain,An orbit."),
        EmbedInput("f", uri=str(tmp_path / "gone.txt")),
    ]
    vectors, rejects = embed(inputs, {**settings, "destination": {"text": True}})
    found = {each.key: each for each in vectors}
    assert [*found] == ["b", "c", "e"]
    assert (found["b"].title, found["b"].text, found["b"].source_uri) == (
        "Strings",
        "A violin.",
        "",
    )
    assert (found["c"].metadata, found["c"].source_uri) == ('{"shelf": 4}', str(page))
    assert "About bread." in str(found["c"].text)
    assert found["e"].text == "An orbit."
    assert {each.key: each.reason for each in rejects} == {
        "d": "no_content",
        "f": "source_missing",
    }
    pairs, _ = embed([("a", "A river.")], {**settings, "run_dir": str(tmp_path / "pairs")})
    assert [each.key for each in pairs] == ["a"]


def test_no_inputs_give_no_vectors(settings: dict[str, Any]) -> None:
    assert embed([], settings) == ([], [])
    assert embed([], settings) == ([], [])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([*INPUTS, EmbedInput("note 007", "Again.")], "two inputs have the key 'note 007'"),
        ([EmbedInput("", "A river.")], "the key is empty or not text"),
        ([EmbedInput("a", "A river.", "b.txt")], "it has both a text and a URI"),
    ],
)
def test_inputs_that_cannot_be_told_apart_or_read_are_refused_before_anything_is_sent(
    remote: Remote, settings: dict[str, Any], inputs: list[Any], words: str
) -> None:
    before = len(remote.jobs())
    with pytest.raises(Exception, match=words):
        embed(inputs, settings)
    assert len(remote.jobs()) == before


@pytest.mark.parametrize(
    ("element", "words"),
    [(("a", 7), "text is int; give text or None"), ((7, "a"), "the key is empty or not text")],
)
def test_a_field_that_is_not_text_is_refused(element: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_input(element)


def test_an_input_of_another_class_with_the_same_fields_is_one() -> None:
    """A worker that decodes by schema alone makes a class of its own."""
    other = beam.Row(key="a", text="A river.", uri=None, title=None, metadata=None)
    assert check_input(other) == EmbedInput("a", "A river.")


def test_other_inputs_and_settings_are_refused_in_the_same_run_directory(
    remote: Remote, settings: dict[str, Any]
) -> None:
    embed(INPUTS[:3], settings)
    before = len(remote.jobs())
    with pytest.raises(Exception, match=r"over 3 inputs, and these 4 are not the same; give a new"):
        embed(INPUTS[:4], settings)
    with pytest.raises(Exception, match=r"model\.dimensions"):
        embed(INPUTS[:3], {**settings, "model": {"dimensions": 256}})
    assert len(remote.jobs()) == before


def test_a_price_above_the_cap_is_refused_before_anything_is_sent(
    remote: Remote, settings: dict[str, Any]
) -> None:
    before = len(remote.jobs())
    words = r"may cost up to \$0\.000\d+, and budget.max_usd is \$0\.00000\d+; nothing was sent"
    with pytest.raises(Exception, match=words):
        embed(INPUTS, settings, max_usd=0.000001)
    assert len(remote.jobs()) == before
    assert len(embed(INPUTS, settings)[0]) == len(INPUTS)


def test_a_run_that_stops_at_its_cap_fails_and_goes_on_with_a_higher_one(
    settings: dict[str, Any],
) -> None:
    with emulator() as fresh:
        here = {**settings, "service": {"base_url": fresh.url}}
        fresh.faults({"job": 1, "do": "fail_job", "code": 13})
        with pytest.raises(Exception, match=r"has not ended: 1 of 4 .*the same pipeline goes on"):
            embed(INPUTS, here, max_usd=0.00011)
        bought = len(fresh.jobs())
        vectors, rejects = embed(INPUTS, here)
        assert (len(vectors), rejects) == (len(INPUTS), [])
        assert len(fresh.jobs()) == bought + 1


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_bundles_that_run_again_buy_nothing_twice(
    remote: Remote, settings: dict[str, Any], seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(rerunning.SEED, seed)
    rerunning.done.clear()
    vectors, rejects = embed(INPUTS, settings, "support.rerunning.RerunRunner")
    assert [each.key for each in vectors] == [each.key for each in INPUTS]
    assert not rejects
    assert len(jobs_in(remote, settings)) == 4
    steps = {step for step, way in rerunning.done if way != "plain"}
    assert steps & {"_Begin", "_Chunk", "_Pack", "_Drive", "_End"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run_dir": ""}, "run_dir: missing: give a folder"),
        ({"budget": {}}, "budget.max_usd: missing: give the most"),
        ({"source": {"files": ["a/**"]}}, "source.files: .*the inputs are the elements"),
        ({"destination": {"bigquery": {"table": "p.d.t"}}}, "destination.bigquery: given: leave"),
        ({"model": {"dimensions": 0}}, "model.dimensions"),
        ({"source": "a/**"}, r"source: a/\*\*: give keys with values, or leave it out"),
    ],
)
def test_settings_are_checked_when_the_step_is_made(
    settings: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        Embed({**settings, **change})


def test_an_unbounded_collection_is_refused(settings: dict[str, Any]) -> None:
    from apache_beam.transforms.periodicsequence import PeriodicImpulse

    pipeline = beam.Pipeline(options=beam_options([]))
    with pytest.raises(UsageError, match="bounded collection"):
        _ = pipeline | PeriodicImpulse() | beam.Map(lambda n: (str(n), "A.")) | Embed(settings)


def test_inputs_of_several_partitions_are_packed_in_the_order_of_keys(
    settings: dict[str, Any],
) -> None:
    config, base = load_embed_config(settings)
    task = EmbedTask(config, base)
    named = NamedPlan("0123456789abcdef", InputSummary(40, "", ("note 010", "note 025")), False)
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        plan = pipeline | "Plan" >> beam.Create([named])
        inputs = random.Random(3).sample(INPUTS, len(INPUTS))
        _ = pipeline | "Inputs" >> beam.Create(inputs) | PackInputs(task, plan)
    run_dir = task.run_dir
    sizes = [part.plan_totals().items for part in run_dir.partitions(named.plan)]
    assert sizes == [10, 15, 15]
    shards = [shard.shard for shard in run_dir.shards(named.plan)]
    rows = [row for shard in shards for row in run_dir.manifest(named.plan, shard).to_pylist()]
    assert [row["key"] for row in rows] == [each.key for each in INPUTS]
    order = [(row["source_index"], row["offset"]) for row in rows]
    assert order == [(0, n) for n in range(10)] + [(p, n) for p in (1, 2) for n in range(15)]
