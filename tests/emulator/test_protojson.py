from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed_emulator.messages import BATCH, CREATE_BATCH, EMBED_REQUEST, LINE
from reembed_emulator.protojson import Field, Message, PayloadError, parse


def test_reads_both_spellings():
    camel = parse(BATCH, {"displayName": "a", "inputConfig": {"fileName": "files/x"}})
    snake = parse(BATCH, {"display_name": "a", "input_config": {"file_name": "files/x"}})
    assert camel == snake == {"display_name": "a", "input_config": {"file_name": "files/x"}}


@pytest.mark.parametrize(
    ("message", "value", "said"),
    [
        (LINE, {"key": "a", "id": 1}, 'Unknown name "id": Cannot find field'),
        (
            CREATE_BATCH,
            {"batch": {"inputConfig": {"file": "x"}}},
            "Unknown name \"file\" at 'batch.input_config'",
        ),
        (
            LINE,
            {"request": {"content": {"parts": [{"text": "a"}, {"txt": "b"}]}}},
            "Unknown name \"txt\" at 'request.content.parts[1]'",
        ),
        (LINE, {"key": 5}, "Invalid value at 'key' (TYPE_STRING), 5"),
        (LINE, [], "not an object"),
        (LINE, {"request": {"content": {"parts": {}}}}, "repeating"),
        (LINE, {"request": {"outputDimensionality": "x"}}, "TYPE_INT32"),
        (LINE, {"request": {"outputDimensionality": 1.5}}, "TYPE_INT32"),
        (LINE, {"request": {"outputDimensionality": True}}, "TYPE_INT32"),
        (LINE, {"request": {"outputDimensionality": 2**31}}, "TYPE_INT32"),
        (LINE, {"request": {"taskType": "SEARCH"}}, "TYPE_ENUM"),
        (BATCH, {"displayName": "a", "display_name": "b"}, "already set"),
        (BATCH, {"output": "files/x"}, "Struct"),
        (
            BATCH,
            {"inputConfig": {"fileName": "files/x", "requests": {}}},
            "oneof field 'source' is already set",
        ),
    ],
)
def test_refuses_and_names_the_field(message, value, said):
    with pytest.raises(PayloadError) as caught:
        parse(message, value)
    assert said in caught.value.message


@pytest.mark.parametrize("given_number", [768, "768", 768.0])
def test_integers_in_their_three_forms(given_number):
    assert parse(EMBED_REQUEST, {"outputDimensionality": given_number}) == {
        "output_dimensionality": 768
    }


def test_nulls_are_absent():
    assert parse(LINE, {"key": None, "request": {"title": None}}) == {"request": {}}


@given(st.binary(max_size=50), st.booleans(), st.booleans())
def test_bytes_in_every_base64(data, urlsafe, padded):
    message = Message({"data": Field("bytes")})
    text = (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(data).decode()
    assert parse(message, {"data": text if padded else text.rstrip("=")}) == {"data": data}


def test_bytes_that_are_no_base64():
    with pytest.raises(PayloadError, match="Base64 decoding failed"):
        parse(Message({"data": Field("bytes")}), {"data": "a*b="})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_anything_else_is_refused_not_crashed_on(value):
    with pytest.raises(PayloadError):
        parse(LINE, value)
