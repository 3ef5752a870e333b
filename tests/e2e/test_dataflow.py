"""Runs on Dataflow as far as they go without it: submitted to a stand-in, looked at, executed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from e2e.harness import (
    ROOT,
    Done,
    Project,
    Remote,
    emulator,
    invoke,
    reembed,
    start,
    texts,
)
from e2e.harness import environment as without_keys
from reembed.cli.template import template_arguments
from reembed.providers.keys import ENDPOINT_VARIABLE
from reembed.storage.gcs import GcsStorage
from support.dataflow import IMAGE, environment_of, execute, options_for, staged_url
from support.gcs import start_gcs
from support.google import GoogleServer, serve_google
from support.graphs import holds, unfolded
from support.servers import environment_set
from support.waiting import DEADLINE, wait_until

pytestmark = [pytest.mark.gcs, pytest.mark.slow]

KEY = "some-secret-AIzaSy0123456789abcdefghijklmnop"
SECRET = "projects/demo-project/secrets/gemini/versions/7"
OF_THE_RUN = ["run", "job", "embedded_at"]
Job = dict[str, Any]


@dataclass(frozen=True)
class Cloud:
    """Stand-ins of all services, and a bucket with a corpus."""

    google: GoogleServer
    remote: Remote
    storage: GcsStorage
    folder: Path
    bucket: str

    def project(self, name: str, **settings: Any) -> Project:
        base: dict[str, Any] = {
            "run_dir": f"{self.bucket}/{name}",
            "source": {"files": [f"{self.bucket}/corpus/**"]},
            "service": {"api_key_secret": SECRET},
            "batch": {"max_requests": 12},
        }
        return Project(self.folder / name, self.remote.url, {**base, **settings})

    def table(self, name: str) -> pa.Table:
        parts = [stat.uri for stat in self.storage.list(f"{self.bucket}/{name}/vectors/")]
        found = pa.concat_tables(pq.read_table(self.storage.open(part)) for part in parts)
        return found.drop_columns(OF_THE_RUN)

    def json(self, name: str) -> Any:
        return json.loads(self.storage.read(f"{self.bucket}/{name}"))

    def names(self, prefix: str) -> list[str]:
        return [stat.uri for stat in self.storage.list(f"{self.bucket}/{prefix}")]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("dataflow")
    with serve_google() as google, start_gcs(folder) as gcs, emulator(expected_key=KEY) as remote:
        google.secrets[SECRET] = KEY.encode()
        here = {**environment_of(folder, google, gcs), ENDPOINT_VARIABLE: google.url}
        with environment_set(here):
            found = Cloud(google, remote, GcsStorage(), folder, gcs.make_bucket("some-bucket"))
            for name, text in texts(30).items():
                found.storage.put(f"{found.bucket}/corpus/{name}", text.encode())
            yield found


@pytest.fixture(scope="module")
def alone(cloud: Cloud) -> pa.Table:
    """The rows of the same configuration on the engine in this process."""
    done = invoke("run", cloud.project("alone").config)
    assert done.code == 0, done.err
    return cloud.table("alone")


def executed(cloud: Cloud) -> Any:
    """Do what Dataflow does with a job: run the graph that it names."""
    return lambda job: execute(cloud.storage.read(staged_url(job)))


def test_a_run_whose_jobs_are_submitted_and_their_graphs_executed(
    cloud: Cloud, alone: pa.Table
) -> None:
    cloud.google.on_job = executed(cloud)
    job = cloud.project("submitted")
    options = options_for(cloud.google, cloud.bucket)
    done = reembed("run", job.config, "--", *options, timeout=DEADLINE)
    assert done.code == 0, done.err
    assert cloud.table("submitted").equals(alone)
    assert cloud.json("submitted/report.json")["state"] == "settled"
    assert cloud.google.unauthorised == []

    plan, embed = cloud.google.bodies
    for body in (plan, embed):
        look_at(body, unfolded(graph_of(cloud, body)))
    steps = [{t.unique_name for t in graph_of(cloud, b).components.transforms.values()}
             for b in (plan, embed)]  # fmt: skip
    assert {"Spans", "ReadItems/Read", "ChunkItems/Chunk", "PackShards/Pack"} <= steps[0]
    assert {"DealLanes/Lanes", "DriveShards/Drive"} <= steps[1]
    staged = cloud.names("")
    assert any("/staging/" in name for name in staged)
    assert [name for name in staged if holds(cloud.storage.read(name), KEY)] == []
    assert not holds((done.out + done.err).encode(), KEY)


def graph_of(cloud: Cloud, body: Job) -> beam_runner_api_pb2.Pipeline:
    return beam_runner_api_pb2.Pipeline.FromString(cloud.storage.read(staged_url(body)))


def look_at(body: Job, graph: bytes) -> None:
    """Workers have our image and need nothing else; nothing travels that should not."""
    [pool] = body["environment"]["workerPools"]
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert {image["containerImage"] for image in pool["sdkHarnessContainerImages"]} == {IMAGE}
    # What the launching environment had, for people; no package to install.
    assert [p["name"] for p in pool["packages"]] == ["submission_environment_dependencies.txt"]
    sdk = body["environment"]["sdkPipelineOptions"]
    assert sdk["options"]["save_main_session"] is False
    shown = {item["key"]: item["value"] for item in sdk["display_data"]}
    assert shown["sdk_container_image"] == IMAGE
    assert len(graph) > 10_000
    assert b"__main__" not in graph
    assert not holds(graph, KEY)
    assert not holds(json.dumps(body).encode(), KEY)
    assert SECRET.encode() in graph or b"PackShards" in graph, "the reference may travel"


def given_by_a_launcher(cloud: Cloud, number: int, *parameters: str) -> list[str]:
    """Parameters as options, and among them what says that the job is only written."""
    place = f"{cloud.bucket}/staging/template_launches/{number}/job_object"
    options = options_for(cloud.google, cloud.bucket, f"--template_location={place}")
    return [*options[:2], *parameters, *options[2:]]


def launch(given: list[str]) -> Done:
    """Start the template's main as a launcher does."""
    command = [sys.executable, str(ROOT / "pipelines" / "template.py"), *given]
    done = subprocess.run(
        command, env=without_keys(), capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def start_staged(cloud: Cloud, number: int) -> str:
    """What the service does after a launcher has ended well."""
    written = cloud.json(f"staging/template_launches/{number}/job_object")
    assert not holds(json.dumps(written).encode(), KEY)
    return execute(cloud.storage.read(staged_url(written)))


def test_a_template_is_launched_to_plan_and_again_to_run(cloud: Cloud, alone: pa.Table) -> None:
    job = cloud.project("template", service={"base_url": cloud.remote.url})
    place = f"{cloud.bucket}/job.yaml"
    cloud.storage.put(place, job.config.read_bytes())
    given = (f"--config={place}", f"--api_key_secret={SECRET}", "--sample=")
    before = len(cloud.google.bodies)
    planned = launch(given_by_a_launcher(cloud, 1, "--command=plan", *given))
    assert planned.code == 0, planned.err
    assert "the job that plans was written" in planned.err
    assert cloud.names("template/plans/")
    assert not [n for n in cloud.names("template/plans/") if n.endswith("plan.json")]
    assert start_staged(cloud, 1) == "JOB_STATE_DONE"
    shown = invoke("plan", place, "--json", "--set", f"service.api_key_secret={SECRET}")
    assert shown.json()["requests"] == 30
    assert [n for n in cloud.names("template/plans/") if n.endswith("plan.json")]

    more = given_by_a_launcher(cloud, 2, "--command=run", "--max_usd=1", *given)
    run = invoke(*template_arguments(more))
    assert run.code == 0, run.err
    assert "was written" in run.err
    assert len(cloud.google.bodies) == before, "a launcher's process creates no job itself"
    assert start_staged(cloud, 2) == "JOB_STATE_DONE"
    assert cloud.json("template/report.json")["state"] == "settled"
    assert cloud.table("template").equals(alone)
    written = [name for part in ("staging", "template") for name in cloud.names(f"{part}/")]
    assert len(written) > 10
    assert [name for name in written if holds(cloud.storage.read(name), KEY)] == []
    again = invoke("run", place, "--json", "--set", f"service.api_key_secret={SECRET}")
    assert again.json()["already"] is True, "the job itself has put the end on record"


def test_no_end_of_a_job_is_taken_for_the_end_of_a_run(cloud: Cloud) -> None:
    """Three jobs at once: one fails, one is cancelled, one says DONE and has done nothing."""
    ends = {"fails": "", "stops": "JOB_STATE_CANCELLED", "lies": "JOB_STATE_DONE"}

    def end(job: Job) -> str:
        wait_until(lambda: was_looked_at(cloud, job), "the command sees it run")
        state = ends[job["name"]]
        if not state:
            raise MemoryError("a worker had no memory left")
        return state

    cloud.google.on_job, cloud.google.meanwhile = end, True
    processes = {}
    for name in ends:
        options = options_for(cloud.google, cloud.bucket, f"--job_name={name}")
        processes[name] = start("run", cloud.project(name).config, "--", *options)
    try:
        said = {name: process.communicate(timeout=DEADLINE) for name, process in processes.items()}
    finally:
        cloud.google.meanwhile = False
        for process in processes.values():
            if process.poll() is None:
                process.kill()
                process.communicate()
    assert {name: process.returncode for name, process in processes.items()} == dict.fromkeys(
        ends, 1
    )
    words = {name: one_line_of_error(err) for name, (_, err) in said.items()}
    assert "a worker had no memory left" in words["fails"]
    assert "CANCELLED" in words["stops"]
    assert "the engine returned 0 of 30 items" in words["lies"]
    assert not [name for name in ends if cloud.names(f"{name}/ledger/commit")]


def was_looked_at(cloud: Cloud, job: Job) -> bool:
    ids = [number for number, found in cloud.google.jobs.items() if found["name"] == job["name"]]
    return any(path.endswith(f"/jobs/{number}") for number in ids for path in cloud.google.asked)


def one_line_of_error(err: str) -> str:
    return next(line for line in reversed(err.splitlines()) if line.startswith("reembed: "))


def test_what_can_only_fail_on_a_worker_is_refused_here(cloud: Cloud, tmp_path: Path) -> None:
    options = options_for(cloud.google, cloud.bucket)
    without = [option for option in options if not option.startswith("--sdk_container_image")]
    before = list(cloud.google.bodies)
    for command in ("run", "plan", "submit"):
        done = invoke(command, cloud.project("refused").config, "--", *without)
        assert done.code == 2
        assert "--sdk_container_image=IMAGE" in one_line_of_error(done.err)
    here = cloud.project("refused", source={"files": [str(tmp_path)]})
    done = invoke("run", here.config, "--", *options)
    assert (done.code, "source.files" in done.err) == (2, True)
    done = invoke("run", cloud.project("refused").config, "--run-dir", tmp_path, "--", *options)
    assert (done.code, "run_dir" in done.err) == (2, True)
    tables = {"files": [], "manifest": [str(tmp_path / "m.jsonl")]}
    done = invoke("run", cloud.project("refused", source=tables).config, "--", *options)
    assert (done.code, "source.manifest" in done.err) == (2, True)
    done = invoke("plan", f"{cloud.bucket}/nothing.yaml")
    assert (done.code, "there is no such object" in done.err) == (2, True)
    cloud.storage.put(f"{cloud.bucket}/odd.yaml", b"name: [")
    done = invoke("status", f"{cloud.bucket}/odd.yaml")
    assert (done.code, f"{cloud.bucket}/odd.yaml:" in done.err) == (2, True)
    assert cloud.google.bodies == before


def test_paid_workers_do_not_wait_for_days(cloud: Cloud) -> None:
    cloud.google.on_job = executed(cloud)
    slow = {"max_requests": 12, "concurrent_jobs": 1, "max_wait_hours": 3}
    job = cloud.project("long", batch=slow)
    config, options = job.config, options_for(cloud.google, cloud.bucket)
    done = invoke("run", config, "--", *options)
    assert done.code == 2
    said = one_line_of_error(done.err)
    assert "about 12 h, by the quota of concurrent jobs" in said
    for command in ("submit", "advance"):
        assert f"`reembed {command} {config} -- --runner=DataflowRunner" in said
    assert not cloud.names("long/ledger/commit"), "nothing was committed"
    # Commands that leave do not wait, and other engines cost nothing while they do.
    cap = invoke("plan", config, "--json").json()["usd_batch"] * 0.6
    left = invoke("submit", config, "--max-usd", f"{cap:.9f}", "--", *options)
    assert left.code == 75, left.err
    resumed = invoke("run", config, "--", *options)
    assert resumed.code == 2
    assert "batch.max_wait_hours (3)" in one_line_of_error(resumed.err)
    done = invoke("run", config)
    assert done.code == 0, done.err
