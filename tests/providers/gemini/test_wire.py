"""Wire format of one configuration: each form of a request, and predictions of its size."""

from __future__ import annotations

import json

import pytest

from reembed.config.schema import Config
from reembed.core.wire import Form, MediaPart, TextPart
from reembed.providers.gemini.wire import GeminiWire


def wire_of(**model: object) -> GeminiWire:
    config = {"name": "n", "source": {"files": ["*"]}, "model": {"dimensions": 128, **model}}
    return GeminiWire.of(Config.model_validate(config))


@pytest.mark.parametrize("form", ["file", "file_with_model", "inline"])
def test_each_form_holds_the_key_and_the_body_of_an_online_call(form: Form) -> None:
    wire, part = wire_of(), TextPart("a text", "a title")
    made = json.loads(wire.request("k", part, form))
    assert made.get("key", made.get("metadata", {}).get("key")) == "k"
    model = made["request"].pop("model", "")
    assert bool(model) == (form != "file")
    assert made["request"] == json.loads(wire.request("k", part, "online"))


def test_a_line_of_a_file_ends_with_a_newline_and_nothing_else_does() -> None:
    forms: list[Form] = ["file", "file_with_model", "inline", "online"]
    made = [wire_of().request("k", TextPart("a text"), form).endswith(b"\n") for form in forms]
    assert made == [True, True, False, False]


def test_a_text_is_never_longer_than_predicted() -> None:
    wire = wire_of()
    for title in (None, "a title"):
        line = wire.request("k", TextPart("some words", title), "file")
        assert len(line) <= wire.text_bytes(title, "some words")


def test_media_are_never_longer_than_predicted() -> None:
    wire = wire_of()
    line = wire.request("k", MediaPart(b"x" * 1000, "image/png"), "file")
    assert len(line) <= wire.media_bytes(1000)


def test_titles_go_with_documents_alone() -> None:
    assert wire_of().sends_titles
    assert not wire_of(task="clustering").sends_titles


def test_a_result_line_grows_with_the_dimensions() -> None:
    assert wire_of(dimensions=768).result_line_bytes() > wire_of().result_line_bytes()
