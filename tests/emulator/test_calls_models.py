from __future__ import annotations

import pytest

MODEL = "/v1beta/models/gemini-embedding-2"


def test_embed_one(api, request_of):
    answer = api.http.post(f"{MODEL}:embedContent", json=request_of("one two"))
    assert len(answer.json()["embedding"]["values"]) == 128
    assert answer.json()["usageMetadata"]["totalTokenCount"] == 2
    assert answer.headers["x-reembed-emulator"]


def test_sync_and_batch_agree(api, request_of):
    online = api.http.post(f"{MODEL}:embedContent", json=request_of("one two")).json()
    batch = api.row(request_of("one two"))["response"]
    assert online["embedding"]["values"] == batch["embedding"]["values"]
    assert batch["tokenCount"] == "2"


def test_embed_many_in_order_up_to_a_hundred(api, request_of):
    def post(count):
        requests = [
            request_of(f"text {i}", model="models/gemini-embedding-2") for i in range(count)
        ]
        return api.http.post(f"{MODEL}:batchEmbedContents", json={"requests": requests})

    many = post(100).json()["embeddings"]
    assert many[7]["values"] == post(8).json()["embeddings"][7]["values"]
    for count in (0, 101):
        assert post(count).status_code == 400


@pytest.mark.parametrize(
    ("call", "body", "expected"),
    [
        ("embedContent", {"content": {"parts": [{"text": ""}]}}, "content is empty"),
        ("embedContent", {"contents": []}, 'Unknown name "contents"'),
        ("embedContent", {"model": "models/x"}, "is not the model of the URL"),
        ("embedContent", {"outputDimensionality": 5}, "supported range"),
        ("batchEmbedContents", {"requests": [{"content": {}}]}, "model: is required"),
        ("countTokens", {}, "contents is not specified"),
    ],
)
def test_refusals(api, call, body, expected):
    answer = api.http.post(f"{MODEL}:{call}", json=body)
    assert answer.status_code == 400
    assert expected in answer.json()["error"]["message"]


def test_unknown_models_and_methods(api):
    for path in (
        "/v1beta/models/nobody",
        "/v1beta/models/nobody:embedContent",
        f"{MODEL}:generateContent",
    ):
        method = "POST" if ":" in path else "GET"
        assert api.http.request(method, path, json={}).status_code == 404


def test_count_tokens_costs_nothing(serve):
    api = serve()
    body = {"contents": [{"parts": [{"text": "one two"}]}, {"parts": [{"text": "three"}]}]}
    assert api.http.post(f"{MODEL}:countTokens", json=body).json() == {"totalTokens": 3}
    assert api.http.get("/emulator/jobs").json()["billed_tokens"] == 0
