"""The vendor's own client, unchanged, against the emulator."""

from __future__ import annotations

import io
import json
import warnings
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from support.waiting import wait_until

MODEL = "gemini-embedding-2"


@pytest.fixture
def client(api):
    options: Any = {"base_url": api.server.base_url, "api_version": "v1beta"}
    with genai.Client(api_key="k", http_options=options) as made:
        yield made


def create(client, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return client.batches.create_embeddings(model=MODEL, **options)


def finished(client, job):
    def ended():
        found = client.batches.get(name=job.name)
        return found if found.done else None

    return wait_until(ended, f"{job.name} ends")


def upload(client, lines_of, request_of, name):
    data = io.BytesIO(lines_of(request_of(f"text {i}") for i in range(12)))
    config = {"name": name, "mime_type": "application/jsonl", "display_name": "twelve"}
    return client.files.upload(file=data, config=config)


def test_sdk_file_job(client, lines_of, request_of, tmp_path):
    file = upload(client, lines_of, request_of, "sdk-input-1")
    assert (file.name, file.mime_type) == ("files/sdk-input-1", "application/jsonl")
    assert client.files.get(name=file.name).size_bytes == file.size_bytes

    job = create(client, src={"file_name": file.name}, config={"display_name": "from a file"})
    assert job.state == types.JobState.JOB_STATE_PENDING
    job = finished(client, job)
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert (job.display_name, job.model) == ("from a file", f"models/{MODEL}")
    assert job.end_time > job.create_time

    rows = [
        json.loads(line) for line in client.files.download(file=job.dest.file_name).splitlines()
    ]
    assert sorted(row["key"] for row in rows) == sorted(f"k{i}" for i in range(12))
    target = tmp_path / "result.jsonl"
    client.files.download(file=job.dest.file_name, destination=target)
    assert len(target.read_bytes().splitlines()) == 12


def test_sdk_inline_job(client):
    source = {
        "inlined_requests": {
            "contents": ["bees", "locomotives"],
            "config": {"output_dimensionality": 256},
        }
    }
    job = finished(client, create(client, src=source, config={"display_name": "inline"}))
    answers = job.dest.inlined_embed_content_responses
    assert [len(answer.response.embedding.values) for answer in answers] == [256, 256]
    assert all(answer.response.token_count >= 1 for answer in answers)


def test_sdk_list_and_cancel(serve):
    slow = serve(pending_seconds=60)
    options: Any = {"base_url": slow.server.base_url, "api_version": "v1beta"}
    with genai.Client(api_key="k", http_options=options) as client:
        source = {"inlined_requests": {"contents": ["bees"]}}
        jobs = [
            create(client, src=source, config={"display_name": f"job {number}"})
            for number in range(3)
        ]
        listed = list(client.batches.list(config={"page_size": 2}))
        assert [job.name for job in listed] == [job.name for job in reversed(jobs)]
        client.batches.cancel(name=jobs[0].name)
        assert client.batches.get(name=jobs[0].name).state == types.JobState.JOB_STATE_CANCELLED
        client.batches.delete(name=jobs[0].name)
        with pytest.raises(errors.ClientError) as caught:
            client.batches.get(name=jobs[0].name)
        assert caught.value.code == 404


def test_sdk_files_list_and_delete(client, lines_of, request_of):
    file = upload(client, lines_of, request_of, "sdk-input-2")
    assert file.name in [found.name for found in client.files.list(config={"page_size": 1})]
    with pytest.raises(errors.ClientError) as caught:
        upload(client, lines_of, request_of, "sdk-input-2")
    assert (caught.value.code, caught.value.status) == (409, "ALREADY_EXISTS")
    client.files.delete(name=file.name)
    with pytest.raises(errors.ClientError) as caught:
        client.files.get(name=file.name)
    assert caught.value.code == 404


def test_sdk_models(client):
    model = client.models.get(model=MODEL)
    assert "asyncBatchEmbedContent" in model.supported_actions
    assert model.input_token_limit == 8192
    assert "no model" in model.description
    assert {found.name for found in client.models.list()} == {
        "models/gemini-embedding-001",
        "models/gemini-embedding-2",
    }


def test_sdk_embed_content_fuses_for_2_and_not_for_001(client):
    config = {"output_dimensionality": 128}
    fused = client.models.embed_content(model=MODEL, contents=["a bee", "a train"], config=config)
    assert [len(one.values) for one in fused.embeddings] == [128]
    apart = client.models.embed_content(
        model="gemini-embedding-001",
        contents=["a bee", "a train"],
        config={"task_type": "RETRIEVAL_QUERY"},
    )
    assert [len(one.values) for one in apart.embeddings] == [3072, 3072]


def test_sdk_embeds_an_image_part(client, make):
    part = types.Part.from_bytes(data=make.image(), mime_type="image/png")
    answer = client.models.embed_content(model=MODEL, contents=[types.Content(parts=[part])])
    assert len(answer.embeddings[0].values) == 3072


def test_sdk_count_tokens(client):
    counted = client.models.count_tokens(model=MODEL, contents="one two three four")
    assert counted.total_tokens == 4


def test_sdk_on_v1_reaches_batches(api):
    options: Any = {"base_url": api.server.base_url, "api_version": "v1"}
    with genai.Client(api_key="k", http_options=options) as client:
        assert client.models.get(model=MODEL).name == f"models/{MODEL}"
        job = create(
            client, src={"inlined_requests": {"contents": ["x"]}}, config={"display_name": "v1"}
        )
        assert finished(client, job).name == job.name
