"""The query contract names a form that matches the documents'."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from reembed.config.load import config_from_mapping
from reembed.config.models import MODELS
from reembed.core.query_contract import query_contract
from reembed.core.wire import TextPart
from reembed.providers.gemini.requests import RequestOptions, embed_request


def contract(model: str, task: str, dimensions: int = 768) -> dict[str, Any]:
    section = {"name": model, "task": task, "dimensions": dimensions}
    data = {"name": "a", "source": {"files": ["x"]}, "model": section}
    return query_contract(config_from_mapping(data, Path("/srv")).config)


def test_documents_are_searched_by_the_query_form() -> None:
    found = contract("gemini-embedding-2", "retrieval_document")
    assert found["query_task"] == "retrieval_query"
    assert found["query"] == {"text": "task: search result | query: {q}"}
    assert found["other_queries"] == {
        "question_answering": {"text": "task: question answering | query: {q}"},
        "fact_verification": {"text": "task: fact checking | query: {q}"},
        "code_retrieval_query": {"text": "task: code retrieval | query: {q}"},
    }
    assert any("image" in note for note in found["notes"])
    assert any("first d values" in note for note in found["notes"])


def test_the_field_model_says_the_task_in_its_field() -> None:
    found = contract("gemini-embedding-001", "retrieval_document")
    assert found["query"] == {"text": "{q}", "taskType": "RETRIEVAL_QUERY"}
    assert found["request"]["taskType"] == "RETRIEVAL_QUERY"
    assert not any("image" in note for note in found["notes"])
    assert any("normalises only vectors of 3072" in note for note in found["notes"])


@pytest.mark.parametrize("task", ["classification", "clustering", "semantic_similarity"])
def test_symmetric_tasks_are_queried_in_their_own_form(task: str) -> None:
    found = contract("gemini-embedding-2", task)
    assert found["query_task"] == task
    assert found["other_queries"] == {}


@pytest.mark.parametrize("task", ["retrieval_query", "question_answering", "fact_verification"])
def test_vectors_of_queries_are_matched_by_documents(task: str) -> None:
    found = contract("gemini-embedding-2", task)
    assert found["query_task"] == "retrieval_document"
    assert found["query"] == {"text": "title: none | text: {q}"}


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("task", MODELS["gemini-embedding-2"].tasks)
def test_the_example_is_what_this_program_would_send(model: str, task: str) -> None:
    found = contract(model, task, 1536)
    options = RequestOptions(model, 1536, found["query_task"], MODELS[model].task_style)
    sent = embed_request(TextPart("where?"), options)
    example = orjson.loads(orjson.dumps(found["request"]).replace(b"{q}", b"where?"))
    assert example == sent
    assert (found["model"], found["task"], found["dimensions"]) == (model, task, 1536)
