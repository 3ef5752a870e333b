"""Predicted bytes are never below what is sent, and near what was seen."""

import base64

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.config.models import MODELS, TASKS
from reembed.core.wire import MediaPart, Part, TextPart
from reembed.providers.gemini.requests import (
    ENVELOPE_BYTES,
    MAX_KEY_CHARS,
    RequestOptions,
    embed_request,
    inline_request,
    jsonl_line,
    max_result_line_bytes,
    media_request_bytes,
    request_bytes,
    result_line_bytes,
    text_request_bytes,
)

PARTS = st.builds(TextPart, st.text(), st.none() | st.text()) | st.builds(
    MediaPart, st.binary(max_size=500), st.sampled_from(["video/quicktime", "application/pdf"])
)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-1, max_value=1)


@given(PARTS, st.sampled_from(sorted(MODELS)), st.sampled_from(TASKS))
def test_a_request_is_never_larger_than_predicted(part: Part, model: str, task: str) -> None:
    options = RequestOptions(model, 3072, task, MODELS[model].task_style)
    request, key = embed_request(part, options), "k" * MAX_KEY_CHARS
    predicted = request_bytes(part, options)
    sent = max(len(jsonl_line(key, request)), len(inline_request(model, key, request)))
    assert sent <= predicted <= sent + ENVELOPE_BYTES


def test_escapes_are_counted() -> None:
    plain = text_request_bytes("prefix", "clustering", None, "a" * 1000)
    control = text_request_bytes("prefix", "clustering", None, "\x01" * 1000)
    assert control - plain == 5000


@given(st.integers(0, 10**9))
def test_base64_makes_four_of_three(size: int) -> None:
    assert media_request_bytes(size) - ENVELOPE_BYTES == 4 * ((size + 2) // 3)


def test_base64_is_that_of_the_library() -> None:
    for size in range(10):
        encoded = len(base64.b64encode(bytes(size)))
        assert media_request_bytes(size) - ENVELOPE_BYTES == encoded


@pytest.mark.parametrize(("dimensions", "seen"), [(3072, 39_000), (768, 10_000)])
def test_the_prediction_is_a_third_above_what_was_seen_at_most(dimensions: int, seen: int) -> None:
    assert seen < result_line_bytes(dimensions) < seen * 4 / 3


@pytest.mark.parametrize("dimensions", [128, 768, 3072])
def test_single_precision_fits_the_prediction(dimensions: int) -> None:
    values = np.random.default_rng(7).normal(size=dimensions)
    unit = (values / np.linalg.norm(values)).astype(np.float32)
    numbers = ", ".join(str(value) for value in unit)
    line = f'{{"key": "k", "response": {{"embedding": {{"values": [{numbers}]}}}}}}'
    assert len(line) <= result_line_bytes(dimensions)


@given(st.lists(FINITE, min_size=128, max_size=128))
def test_no_float32_outgrows_the_prediction(values: list[float]) -> None:
    numbers = ", ".join(str(np.float32(value)) for value in values)
    assert len(numbers) <= result_line_bytes(128) - 512


@given(st.lists(st.floats(-1, 1), min_size=128, max_size=128))
def test_doubles_in_full_are_still_read(values: list[float]) -> None:
    line = orjson.dumps({"key": "k", "response": {"embedding": {"values": values}}})
    assert len(line) + len(values) <= max_result_line_bytes(128)
