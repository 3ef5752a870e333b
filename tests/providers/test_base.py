"""What every `BatchService` must do, run with the real client against the shipped emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reembed.config.schema import ServiceConfig
from reembed.errors import (
    AccessDeniedError,
    NameTakenError,
    QuotaError,
    RefusedError,
    RemoteNotFoundError,
    ServiceError,
)
from reembed.providers.base import BatchService, Job
from reembed.providers.gemini.client import open_service
from reembed_emulator.server import EmulatorServer
from reembed_emulator.settings import EmulatorSettings
from support.waiting import wait_until

MODEL = "gemini-embedding-2"
MIME = "application/jsonl"
KEY = "contract-key"


@pytest.fixture(scope="module")
def quick() -> Iterator[EmulatorServer]:
    settings = EmulatorSettings(
        port=0, pending_seconds=0.05, running_seconds=0.05, expected_key=KEY
    )
    with EmulatorServer(settings) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def slow() -> Iterator[EmulatorServer]:
    """Jobs that do not end by themselves, and room for two of them."""
    with EmulatorServer(EmulatorSettings(port=0, pending_seconds=600, concurrent_jobs=2)) as it:
        yield it


@pytest.fixture
def service(quick: EmulatorServer) -> Iterator[BatchService]:
    with open_service(ServiceConfig(base_url=quick.base_url), KEY, {}) as service:
        yield service


@pytest.fixture
def waiting(slow: EmulatorServer) -> Iterator[BatchService]:
    with open_service(ServiceConfig(base_url=slow.base_url), "local", {}) as service:
        yield service


def request(text: str) -> dict[str, object]:
    return {"content": {"parts": [{"text": text}]}, "outputDimensionality": 128}


def write_input(path: Path, count: int) -> Path:
    lines = (json.dumps({"key": f"k{n}", "request": request(f"text {n}")}) for n in range(count))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def inline(count: int) -> list[bytes]:
    # `model` is required in inline requests by the schema.
    return [
        json.dumps(
            {
                "request": {"model": f"models/{MODEL}", **request(f"text {n}")},
                "metadata": {"key": f"k{n}"},
            }
        ).encode()
        for n in range(count)
    ]


def finished(service: BatchService, name: str) -> Job:
    def ended() -> Job | None:
        job = service.get(name)
        return job if job.done else None

    found = wait_until(ended, f"{name} ends")
    assert found is not None
    return found


def read_lines(path: Path) -> dict[str, list[float]]:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    return {line["key"]: line["response"]["embedding"]["values"] for line in lines}


def test_a_file_job_from_upload_to_deletion(service: BatchService, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", 20)
    remote = service.upload(source, "files/contract-a", MIME)
    assert (remote.name, remote.size_bytes) == ("files/contract-a", source.stat().st_size)
    assert remote.name in {file.name for file in service.list_files()}
    created = service.create_from_file(MODEL, "run/s/0/aa", remote.name, 0)
    assert (created.display_name, created.done) == ("run/s/0/aa", False)
    assert created.create_time
    job = finished(service, created.name)
    assert (job.name, job.state, job.input_file) == (created.name, "SUCCEEDED", remote.name)
    assert (job.stats.total, job.stats.succeeded, job.stats.failed) == (20, 20, 0)
    assert job.inline_responses is None
    assert job.end_time > job.create_time
    target = tmp_path / "out.jsonl"
    assert service.fetch(job, target) == target.stat().st_size
    vectors = read_lines(target)
    assert set(vectors) == {f"k{n}" for n in range(20)}
    assert {len(vector) for vector in vectors.values()} == {128}
    service.delete_file(remote.name)
    with pytest.raises(RemoteNotFoundError):
        service.delete_file(remote.name)
    service.delete(job.name)
    with pytest.raises(RemoteNotFoundError):
        service.get(job.name)


def test_an_inline_job_is_read_the_same_way(service: BatchService, tmp_path: Path) -> None:
    created = service.create_inline(MODEL, "run/s/1/bb", inline(6), 5)
    job = finished(service, created.name)
    assert (job.state, job.priority, job.responses_file) == ("SUCCEEDED", 5, "")
    assert job.inline_responses is not None
    assert len(job.inline_responses) == 6
    target = tmp_path / "out.jsonl"
    assert service.fetch(job, target) == target.stat().st_size
    assert set(read_lines(target)) == {f"k{n}" for n in range(6)}
    # A list leaves the answers out; fetch then asks for them.
    listed = next(other for other in service.list_jobs() if other.name == job.name)
    assert listed.inline_responses is None
    assert service.fetch(listed, target) == target.stat().st_size


def test_a_file_of_several_chunks_arrives_whole(service: BatchService, tmp_path: Path) -> None:
    source = tmp_path / "large.jsonl"
    line = json.dumps({"key": "k", "request": request("x" * 1000)}) + "\n"
    source.write_text(line * (17_000_000 // len(line)))
    remote = service.upload(source, "files/contract-large", MIME)
    assert remote.size_bytes == source.stat().st_size > 2 * (8 << 20)
    service.delete_file(remote.name)


def test_jobs_are_listed_newest_first(service: BatchService) -> None:
    names = [service.create_inline(MODEL, f"run/s/{n}/cc", inline(1), 0).name for n in range(4)]
    listed = [job for job in service.list_jobs() if job.display_name.endswith("/cc")]
    assert {job.name for job in listed} == set(names)
    times = [job.create_time for job in listed]
    assert times == sorted(times, reverse=True)


def test_a_cancelled_job_ends(waiting: BatchService) -> None:
    job = waiting.create_inline(MODEL, "run/s/0/dd", inline(1), 0)
    waiting.cancel(job.name)
    assert finished(waiting, job.name).state == "CANCELLED"


def test_a_quota_is_an_error_of_its_own(waiting: BatchService) -> None:
    jobs = [waiting.create_inline(MODEL, f"run/s/{n}/ee", inline(1), 0) for n in range(2)]
    with pytest.raises(QuotaError):
        waiting.create_inline(MODEL, "run/s/2/ee", inline(1), 0)
    assert {job.display_name for job in waiting.list_jobs()} >= {job.display_name for job in jobs}
    assert "run/s/2/ee" not in {job.display_name for job in waiting.list_jobs()}
    for job in jobs:
        waiting.cancel(job.name)


def test_a_name_is_taken_once(service: BatchService, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", 2)
    service.upload(source, "files/contract-b", MIME)
    with pytest.raises(NameTakenError):
        service.upload(source, "files/contract-b", MIME)
    service.delete_file("files/contract-b")


def test_what_is_not_there_is_not_found(service: BatchService, tmp_path: Path) -> None:
    with pytest.raises(RemoteNotFoundError):
        service.get("batches/nothing")
    with pytest.raises(RemoteNotFoundError):
        service.delete_file("files/nothing")
    with pytest.raises(RemoteNotFoundError):
        service.model("gemini-embedding-0")
    gone = Job("batches/x", "d", "SUCCEEDED", "", responses_file="files/batch-nothing")
    with pytest.raises(RemoteNotFoundError):
        service.fetch(gone, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_is_refused_and_makes_no_job(service: BatchService) -> None:
    with pytest.raises(RefusedError):
        service.create_inline(MODEL, "", inline(1), 0)
    with pytest.raises(RefusedError):
        service.create_inline(MODEL, "refused", [b'{"request":{"unknown":1}}'], 0)
    with pytest.raises(ServiceError):
        service.create_from_file(MODEL, "refused", "files/nothing", 0)
    assert "refused" not in {job.display_name for job in service.list_jobs()}


def test_a_result_file_may_refuse_its_deletion(service: BatchService, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", 2)
    service.upload(source, "files/contract-c", MIME)
    job = service.create_from_file(MODEL, "run/s/0/ff", "files/contract-c", 0)
    done = finished(service, job.name)
    with pytest.raises(RefusedError):
        service.delete_file(done.responses_file)


def test_another_key_has_no_access(quick: EmulatorServer) -> None:
    config = ServiceConfig(base_url=quick.base_url)
    with open_service(config, "another-key", {}) as service:
        with pytest.raises(AccessDeniedError) as caught:
            service.get("batches/x")
        assert "another-key" not in str(caught.value)
        with pytest.raises(AccessDeniedError):
            service.create_inline(MODEL, "d", inline(1), 0)
        with pytest.raises(AccessDeniedError):
            service.model(MODEL)


def test_the_free_and_the_online_calls(service: BatchService) -> None:
    info = service.model(MODEL)
    assert info.input_token_limit == 8192
    assert "asyncBatchEmbedContent" in info.methods
    assert service.count_tokens(MODEL, "one two three") > 0
    vector = service.embed(MODEL, json.dumps(request("text 0")).encode())
    assert len(vector) == 128


def test_online_and_batch_give_the_same_vector(service: BatchService, tmp_path: Path) -> None:
    body = json.dumps(request("text 0")).encode()
    job = finished(service, service.create_inline(MODEL, "run/s/0/gg", inline(1), 0).name)
    service.fetch(job, tmp_path / "out")
    batch = read_lines(tmp_path / "out")["k0"]
    assert service.embed(MODEL, body) == pytest.approx(batch, abs=1e-6)


def test_a_file_that_is_gone_may_be_answered_403(tmp_path: Path) -> None:
    with (
        EmulatorServer(EmulatorSettings(port=0, missing_file_code=403)) as emulator,
        open_service(ServiceConfig(base_url=emulator.base_url), "local", {}) as service,
    ):
        gone = Job("batches/x", "d", "SUCCEEDED", "", responses_file="files/batch-nothing")
        with pytest.raises(RemoteNotFoundError):
            service.delete_file("files/nothing")
        with pytest.raises(RemoteNotFoundError):
            service.fetch(gone, tmp_path / "out")


def test_a_granularity_is_kept_to(tmp_path: Path) -> None:
    line = json.dumps({"key": "k", "request": request("x" * 1000)}) + "\n"
    source = tmp_path / "large.jsonl"
    source.write_text(line * (9_000_000 // len(line)))
    with (
        EmulatorServer(EmulatorSettings(port=0, strict_chunks=True)) as emulator,
        open_service(ServiceConfig(base_url=emulator.base_url), "local", {}) as service,
    ):
        assert service.upload(source, "files/x", MIME).size_bytes == source.stat().st_size


def test_a_list_of_several_pages_comes_whole() -> None:
    with (
        EmulatorServer(EmulatorSettings(port=0, pending_seconds=60, concurrent_jobs=150)) as many,
        open_service(ServiceConfig(base_url=many.base_url), "local", {}) as service,
    ):
        names = {service.create_inline(MODEL, f"n{n}", inline(1), 0).name for n in range(103)}
        listed = [job.name for job in service.list_jobs()]
    assert len(listed) == 103
    assert set(listed) == names
