"""Request bodies against the golden ones, byte for byte."""

import base64
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.config.load import config_from_mapping
from reembed.config.models import MODELS, TASKS
from reembed.core.wire import MediaPart, Part, TextPart
from reembed.errors import RejectError
from reembed.providers.gemini.requests import (
    RequestOptions,
    embed_request,
    inline_request,
    jsonl_line,
    to_json,
)

GOLDEN = Path(__file__).parent / "golden"
TEXT = 'Zürich "2026"\n\t\\ 日本 🙂'
MEDIA = {
    "image": MediaPart(b"\x89PNG\r\n\x1a\n", "image/png"),
    "audio": MediaPart(b"ID3\x04\x00", "audio/mpeg"),
    "video": MediaPart(b"\x00\x00\x00\x18ftypmp42", "video/mp4"),
    "pdf": MediaPart(b"%PDF-1.7\n", "application/pdf"),
}
BODIES = sorted(p.stem for p in GOLDEN.glob("*.json") if p.stem.count(".") >= 2)


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def options(model: str, task: str, dimensions: int = 768) -> RequestOptions:
    return RequestOptions(model, dimensions, task, MODELS[model].task_style)


def wire(part: Part, options: RequestOptions) -> dict[str, Any]:
    """A request as the service reads it."""
    found: dict[str, Any] = orjson.loads(to_json(embed_request(part, options)))
    return found


@pytest.mark.parametrize("name", BODIES)
def test_a_body_is_the_golden_one(name: str) -> None:
    model, modality, task, *titled = name.split(".")
    title = "House\n| rules" if titled else None
    part = TextPart(TEXT, title) if modality == "text" else MEDIA[modality]
    assert to_json(embed_request(part, options(model, task))) == golden(name)


def test_there_is_a_golden_body_for_each_model_task_and_modality() -> None:
    for model, spec in MODELS.items():
        for task in spec.tasks:
            assert f"{model}.text.{task}" in BODIES
        for modality in spec.modalities():
            assert f"{model}.{modality}.retrieval_document" in BODIES


def test_a_line_is_the_golden_one_with_a_newline() -> None:
    request = embed_request(TextPart(TEXT), options("gemini-embedding-2", "retrieval_document"))
    assert jsonl_line("a1b2c3d4-7", request) == golden("gemini-embedding-2.line") + b"\n"


def test_an_inline_request_is_the_golden_one() -> None:
    request = embed_request(TextPart(TEXT), options("gemini-embedding-2", "retrieval_document"))
    inline = inline_request("gemini-embedding-2", "a1b2c3d4-7", request)
    assert inline == golden("gemini-embedding-2.inline")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("modality", sorted(MEDIA))
def test_media_carry_no_task_text(task: str, modality: str) -> None:
    body = wire(MEDIA[modality], options("gemini-embedding-2", task))
    assert set(body) == {"content", "outputDimensionality"}
    assert [set(part) for part in body["content"]["parts"]] == [{"inlineData"}]


@pytest.mark.parametrize("task", [t for t in TASKS if t != "retrieval_document"])
def test_a_title_goes_only_with_documents(task: str) -> None:
    for model in MODELS:
        assert "House" not in str(embed_request(TextPart("text", "House"), options(model, task)))


def test_a_blank_title_is_left_out_of_the_field() -> None:
    body = embed_request(
        TextPart("text", " \n"), options("gemini-embedding-001", "retrieval_document")
    )
    assert "title" not in body


@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(TASKS),
    st.text(),
    st.none() | st.text(),
    st.text(min_size=1),
)
def test_any_text_is_one_line_with_one_content(
    model: str, task: str, text: str, title: str | None, key: str
) -> None:
    request = embed_request(TextPart(text, title), options(model, task, 256))
    line = jsonl_line(key, request)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    body = orjson.loads(line)
    assert body["key"] == key
    assert list(body) == ["key", "request"]
    [part] = body["request"]["content"]["parts"]
    assert part["text"].endswith(text)
    assert body["request"]["outputDimensionality"] == 256
    assert "model" not in body["request"]
    inline = orjson.loads(inline_request(model, key, request))
    assert inline["metadata"] == {"key": key}
    assert inline["request"] == {"model": f"models/{model}", **body["request"]}


@given(st.binary(max_size=2000))
def test_media_come_back_from_base64(data: bytes) -> None:
    part = MediaPart(data, "audio/wav")
    body = wire(part, options("gemini-embedding-2", "clustering"))
    inline = body["content"]["parts"][0]["inlineData"]
    assert base64.b64decode(inline["data"], validate=True) == data
    assert inline["mimeType"] == "audio/wav"


def test_text_that_utf8_cannot_carry_is_a_reject() -> None:
    request = embed_request(TextPart("a\ud800"), options("gemini-embedding-2", "clustering"))
    for write in (to_json, partial(jsonl_line, "k"), partial(inline_request, "m", "k")):
        with pytest.raises(RejectError, match="decode the source anew") as caught:
            write(request)
        assert caught.value.code == "text_not_unicode"


def test_options_come_from_the_configuration() -> None:
    model = {"name": "gemini-embedding-001", "dimensions": 256, "task": "clustering"}
    data = {"name": "a", "source": {"files": ["x"]}, "model": model}
    loaded = config_from_mapping(data, Path("/srv"))
    assert RequestOptions.of(loaded.config) == RequestOptions(
        "gemini-embedding-001", 256, "clustering", "field"
    )
