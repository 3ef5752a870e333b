from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed_emulator.messages import (
    Batch,
    Blob,
    CreateBatch,
    EmbedRequest,
    InlinedRequest,
    InputLine,
    PayloadError,
    parse,
)


def fields(message):
    return message.model_dump(exclude_none=True)


def test_reads_both_spellings():
    camel = parse(Batch, {"displayName": "a", "inputConfig": {"fileName": "files/x"}})
    snake = parse(Batch, {"display_name": "a", "input_config": {"file_name": "files/x"}})
    assert camel == snake
    assert fields(snake) == {"display_name": "a", "input_config": {"file_name": "files/x"}}


@pytest.mark.parametrize(
    ("message", "value", "expected"),
    [
        (InputLine, {"key": "a", "id": 1}, 'Unknown name "id": Cannot find field'),
        (
            CreateBatch,
            {"batch": {"inputConfig": {"file": "x"}}},
            "Unknown name \"file\" at 'batch.input_config'",
        ),
        (
            InputLine,
            {"request": {"content": {"parts": [{"text": "a"}, {"txt": "b"}]}}},
            "Unknown name \"txt\" at 'request.content.parts[1]'",
        ),
        (InputLine, {"key": 5}, "Invalid value at 'key' (TYPE_STRING), 5"),
        (InputLine, [], "not an object"),
        (InputLine, {"request": {"content": {"parts": {}}}}, "repeating"),
        (InputLine, {"request": {"outputDimensionality": "x"}}, "TYPE_INT32"),
        (InputLine, {"request": {"outputDimensionality": 1.5}}, "TYPE_INT32"),
        (InputLine, {"request": {"outputDimensionality": True}}, "TYPE_INT32"),
        (InputLine, {"request": {"outputDimensionality": 2**31}}, "TYPE_INT32"),
        (InputLine, {"request": {"taskType": "SEARCH"}}, "TYPE_ENUM"),
        (Batch, {"displayName": "a", "display_name": "b"}, "already set"),
        (CreateBatch, {"batch": {"priority": "1", "Priority": 2}}, "Cannot find field"),
        (InputLine, {"request": {"taskType": ["SEARCH"]}}, "TYPE_ENUM"),
        (Batch, {"output": "files/x"}, "Struct"),
        (
            Batch,
            {"inputConfig": {"fileName": "files/x", "requests": {}}},
            "oneof field 'source' is already set",
        ),
    ],
)
def test_refuses_and_names_the_field(message, value, expected):
    with pytest.raises(PayloadError) as caught:
        parse(message, value)
    assert expected in caught.value.message


@pytest.mark.parametrize("given_number", [768, "768", 768.0])
def test_integers_in_their_three_forms(given_number):
    request = parse(EmbedRequest, {"outputDimensionality": given_number})
    assert fields(request) == {"output_dimensionality": 768}
    assert type(request.output_dimensionality) is int


def test_nulls_are_absent():
    assert fields(parse(InputLine, {"key": None, "request": {"title": None}})) == {"request": {}}


@given(st.binary(max_size=50), st.booleans(), st.booleans())
def test_bytes_in_every_base64(data, urlsafe, padded):
    text = (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(data).decode()
    assert parse(Blob, {"data": text if padded else text.rstrip("=")}).data == data


def test_bytes_that_are_no_base64():
    with pytest.raises(PayloadError, match="Base64 decoding failed"):
        parse(Blob, {"data": "a*b="})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_anything_else_is_refused_not_crashed_on(value):
    with pytest.raises(PayloadError):
        parse(InputLine, value)


def test_inline_requests_are_written_as_they_were_read():
    given_request = {
        "request": {"content": {"parts": [{"inline_data": {"data": "AP-_"}}]}},
        "metadata": {"key": None, "n": 1.5},
    }
    request = parse(InlinedRequest, given_request)
    written = json.loads(request.model_dump_json(exclude_unset=True))
    assert written["request"]["content"]["parts"] == [{"inline_data": {"data": "AP+/"}}]
    assert written["metadata"] == {"key": None, "n": 1.5}
    assert parse(InlinedRequest, written) == request
