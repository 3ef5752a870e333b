"""What an engine is given of a run, as it would be submitted: never the API key."""

from __future__ import annotations

import base64
import bz2
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.display import DisplayData

from e2e.harness import Project, texts
from reembed.beam.engine import beam_options, runner_of, workers_of
from reembed.beam.run_lanes import build_embed
from reembed.beam.run_plan import Planning, build_plan
from reembed.config.load import ResolvedConfig, load_config
from reembed.driver.session import Session, service_key
from reembed.ledger.run_dir import open_run_dir
from reembed.providers.gemini.client import open_service
from reembed.sources.open import open_source
from support.graphs import holds, opened_payload, unfolded

KEY = "some-secret-AIzaSy0123456789abcdefghijklmnop"
SUBMITTED = {
    "DataflowRunner": [
        "--runner=DataflowRunner",
        "--project=some-project",
        "--region=europe-west4",
        "--temp_location=gs://some-bucket/tmp",
        "--num_workers=3",
    ],
    "PrismRunner": ["--runner=PrismRunner", "--environment_type=LOOPBACK"],
    "FnApiRunner": [],
}


@pytest.fixture
def session(project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Session:
    """A run as it travels, in a process whose environment holds the key."""
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_API_KEY", KEY)
    job = project("http://127.0.0.1:9", name="mark-of-this-run").write(texts(3))
    session = Session(load_config(job.config).config, "a1b2c3d4e5f6", "0123456789abcdef", 1)
    assert service_key(session.config) == KEY
    return session


def graphs(session: Session, arguments: list[str]) -> Iterator[tuple[str, beam.Pipeline]]:
    """Both pipelines, built and not run."""
    run_dir = open_run_dir(session.config.run_dir)
    loaded = ResolvedConfig(session.config, Path(session.config.run_dir).parent)
    source = open_source(loaded, run_dir.storage)
    prepared = source.prepare(run_dir, session.plan)
    for name in ("plan", "embed"):
        # Only what is built shows here; the engine of the options is not started.
        pipeline = beam.Pipeline(runner="FnApiRunner", options=beam_options(arguments))
        if name == "plan":
            build_plan(pipeline, Planning(session.config, run_dir, session.plan, prepared))
        else:
            build_embed(pipeline, session, 2)
        yield name, pipeline


def test_the_search_would_find_a_secret_that_travels(session: Session) -> None:
    for name, pipeline in graphs(session, []):
        graph = unfolded(pipeline.to_runner_api())
        if name == "embed":
            assert b"mark-of-this-run" in graph, "the configuration lies in the payload of a step"
            assert b"mark-of-this-run" not in pipeline.to_runner_api().SerializeToString()
    planted = base64.b64encode(bz2.compress(pickle.dumps({"key": KEY})))
    assert holds(opened_payload(planted), KEY)
    for around in ("", "a", "ab"):
        assert holds(base64.b64encode(f"{around}{KEY} and more".encode()), KEY)


@pytest.mark.parametrize("runner", SUBMITTED)
def test_no_graph_holds_the_key(session: Session, runner: str) -> None:
    arguments = SUBMITTED[runner]
    for name, pipeline in graphs(session, arguments):
        graph = unfolded(pipeline.to_runner_api())
        assert len(graph) > 10_000, "something was built"
        assert not holds(graph, KEY), name
        shown = DisplayData.create_from_options(pipeline.options).items
        assert not holds(repr([vars(item) for item in shown]).encode(), KEY), name
        for options in (pipeline.options, beam_options(arguments)):
            assert not holds(repr(options.get_all_options()).encode(), KEY), name
            assert not holds(str(options.display_data()).encode(), KEY), name


def test_a_session_and_a_client_travel_without_the_key(session: Session) -> None:
    assert not holds(pickle.dumps(session), KEY)
    assert KEY not in repr(session)
    with open_service(session.config.service, KEY) as service:
        assert not holds(pickle.dumps(service), KEY)
        assert KEY not in repr(service)


def test_options_name_the_engine_that_was_asked_for() -> None:
    for runner, arguments in SUBMITTED.items():
        options: PipelineOptions = beam_options(arguments)
        assert runner_of(options) == runner
        assert workers_of(options) == (3 if runner == "DataflowRunner" else 1)
