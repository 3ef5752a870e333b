from __future__ import annotations

import pytest

from reembed_emulator.errors import RowError


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"outputDimensionality": 127}, "out of the supported range"),
        ({"outputDimensionality": 3073}, "out of the supported range"),
        ({"outputDimensionality": 0}, "out of the supported range"),
        ({"taskType": "RETRIEVAL_QUERY"}, "task_type is not supported"),
        ({"title": "a"}, "title is not supported"),
        ({"content": {"parts": [{"text": " \n"}]}}, "content is empty"),
        ({"content": {"parts": []}}, "content is empty"),
        ({"content": {"parts": [{}]}}, "part without data"),
        ({"content": {}}, "content is empty"),
    ],
)
def test_a_bad_row_is_an_error_line_among_good_ones(api, request_of, fields, expected):
    rows = api.run([request_of("good"), request_of("bad") | fields])
    assert rows["k1"]["error"]["code"] == 3
    assert expected in rows["k1"]["error"]["message"]
    assert "response" not in rows["k1"]
    assert "response" in rows["k0"]


def test_rows_of_001(api, request_of, media_request, make):
    rows = api.run(
        [
            request_of("a", taskType="RETRIEVAL_DOCUMENT", title="t"),
            request_of("a", title="t"),
            media_request((make.image(), "image/png")),
        ],
        model="gemini-embedding-001",
    )
    assert "response" in rows["k0"]
    assert "RETRIEVAL_DOCUMENT" in rows["k1"]["error"]["message"]
    assert "text only" in rows["k2"]["error"]["message"]


def test_config_inside_embed_content_config_is_ignored(api, request_of):
    request = request_of("a", embedContentConfig={"outputDimensionality": 128})
    del request["outputDimensionality"]
    assert len(api.row(request)["response"]["embedding"]["values"]) == 3072


@pytest.mark.parametrize(
    ("model", "limit"), [("gemini-embedding-2", 8192), ("gemini-embedding-001", 2048)]
)
def test_long_text_is_cut_silently(api, request_of, model, limit):
    head = "word " * limit
    rows = api.run([request_of(head), request_of(head + "tail " * 500)], model=model)
    counts = [rows[key]["response"]["tokenCount"] for key in ("k0", "k1")]
    assert counts == [str(limit)] * 2
    values = [rows[key]["response"]["embedding"]["values"] for key in ("k0", "k1")]
    assert values[0] == values[1]


@pytest.mark.parametrize("kind", ["audio", "video", "pdf"])
def test_one_of_each_other_kind(embed, make, kind):
    part = {
        "audio": (make.audio(), "audio/wav"),
        "video": (make.video(), "video/mp4"),
        "pdf": (make.pdf("x"), "application/pdf"),
    }[kind]
    with pytest.raises(RowError, match=f"2 {kind} parts; the limit is 1"):
        embed(part, part)
