"""Each fault of a request is named; what is planned and rendered here has none."""

import base64
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reembed.config.models import MODELS
from reembed.config.schema import Config
from reembed.core.names import wire_key
from reembed.core.wire import MediaPart, TextPart
from reembed.providers.gemini.check import RequestLimits, fault_of
from reembed.providers.gemini.requests import (
    RequestOptions,
    embed_request,
    inline_request,
    jsonl_line,
)

SPEC = MODELS["gemini-embedding-2"]
LIMITS = RequestLimits(SPEC, 10_000)
OPTIONS = RequestOptions(SPEC.name, 768, "retrieval_document", "prefix")
KEY = wire_key("abcdef0123456789", 17)
TEXT = TextPart("a tide", "Sea")
PICTURE = MediaPart(b"\x89PNG bytes", "image/png")


def line_of(part, options=OPTIONS, key=KEY):
    return jsonl_line(key, embed_request(part, options))


def edited(part, change):
    document = orjson.loads(line_of(part))
    change(document)
    return orjson.dumps(document)


@pytest.mark.parametrize("part", [TEXT, PICTURE, MediaPart(b"%PDF-", "application/pdf")])
@pytest.mark.parametrize("inline", [False, True])
def test_what_is_rendered_here_is_well_formed(part, inline):
    line = line_of(part)
    if inline:
        line = inline_request(SPEC.name, KEY, embed_request(part, OPTIONS))
    assert fault_of(part, 24, line, LIMITS) == ""


@given(st.text(min_size=1).filter(str.strip), st.sampled_from(sorted(MODELS)))
def test_any_text_is_well_formed(text, model):
    spec = MODELS[model]
    options = RequestOptions(model, spec.default_dimensions, "clustering", spec.task_style)
    line = line_of(TextPart(text), options)
    assert fault_of(TextPart(text), 1, line, RequestLimits(spec, 10**6)) == ""


@pytest.mark.parametrize(
    ("part", "tokens", "change", "said"),
    [
        (TextPart(" \n"), 1, lambda d: None, "its text is empty"),
        (TEXT, 8193, lambda d: None, "8,193 tokens"),
        (MediaPart(b"", "image/png"), 258, lambda d: None, "its media are empty"),
        (MediaPart(b"GIF89a", "image/gif"), 258, lambda d: None, "its type is 'image/gif'"),
        (TEXT, 1, lambda d: d["request"].update(outputDimensionality=4096), "4096 dimensions"),
        (TEXT, 1, lambda d: d["request"].pop("outputDimensionality"), "None dimensions"),
        (TEXT, 1, lambda d: d["request"].update(tasktype="X"), "unknown fields ['tasktype']"),
        (TEXT, 1, lambda d: d.update(id=1), "unknown fields ['id']"),
        (TEXT, 1, lambda d: d.update(key="doc-1"), "its key 'doc-1'"),
        (TEXT, 1, lambda d: d.pop("key"), "its key None"),
        (TEXT, 1, lambda d: d.pop("request"), "no request"),
        (TEXT, 1, lambda d: d["request"].pop("content"), "not exactly one part"),
        (TEXT, 1, lambda d: d["request"]["content"]["parts"].clear(), "not exactly one part"),
        (PICTURE, 1, lambda d: _blob(d).pop("data"), "its media are missing"),
        (PICTURE, 1, lambda d: _blob(d).update(data="a?b="), "base64 is malformed"),
        (
            PICTURE,
            1,
            lambda d: _blob(d).update(data=base64.b64encode(b"other").decode()),
            "other bytes",
        ),
    ],
)
def test_each_fault_is_named(part, tokens, change, said):
    assert said in fault_of(part, tokens, edited(part, change), LIMITS)


def _blob(document):
    return document["request"]["content"]["parts"][0]["inlineData"]


def test_lines_that_are_too_long_or_no_json():
    line = line_of(TEXT)
    assert "bytes, a job takes 20" in fault_of(TEXT, 1, line, replace(LIMITS, max_bytes=20))
    assert "is not JSON" in fault_of(TEXT, 1, line[:-3], LIMITS)
    assert "no request" in fault_of(TEXT, 1, b"[]", LIMITS)


def test_a_model_of_texts_takes_no_media():
    limits = RequestLimits(MODELS["gemini-embedding-001"], 10_000)
    assert "takes no media at all" in fault_of(PICTURE, 1, line_of(PICTURE), limits)


def test_the_limits_are_those_of_the_configuration():
    config = Config.model_validate(
        {
            "name": "x",
            "run_dir": "/r",
            "source": {"files": ["*"]},
            "batch": {"max_input_mb": 3},
            "model": {"limits": {"text": {"max_tokens": 900}}},
            "chunking": {"text": {"max_tokens": 500}},
        }
    )
    limits = RequestLimits.of(config)
    assert (limits.max_bytes, limits.spec.text.max_tokens) == (3_000_000, 900)
