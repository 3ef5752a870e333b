from __future__ import annotations

import pytest


def message(answer, code=400):
    assert answer.status_code == code, answer.text
    return answer.json()["error"]["message"]


@pytest.mark.parametrize("echoed", [True, False])
def test_inline_output_stands_in_both_places(serve, request_of, echoed):
    api = serve(echo_metadata=echoed)
    created = api.create_inline_job([request_of("a"), request_of("b", outputDimensionality=5)])
    operation = api.wait(created)
    output = operation["metadata"]["output"]
    assert operation["response"]["output"] == output
    answers = output["inlinedResponses"]["inlinedResponses"]
    assert len(answers) == 2
    assert sorted(("error" in one, "response" in one) for one in answers) == [
        (False, True),
        (True, False),
    ]
    named = [one.get("metadata") for one in answers]
    assert (
        (sorted(name["key"] for name in named) == ["k0", "k1"]) if echoed else named == [None] * 2
    )
    listed = api.http.get("/v1beta/batches").json()["operations"][0]
    assert "output" not in listed["metadata"]
    assert listed["metadata"]["batchStats"]["failedRequestCount"] == "1"


def test_large_inline_replies_cannot_be_fetched(serve, request_of):
    api = serve(max_inline_reply_bytes=20_000)
    name = api.create_inline_job([request_of(f"text {i}") for i in range(20)]).json()["name"]
    api.wait_for_results(name)
    answer = api.http.get(f"/v1beta/{name}")
    assert (answer.status_code, answer.json()["error"]["status"]) == (503, "UNAVAILABLE")


def test_update(serve, request_of):
    api = serve(pending_seconds=60)
    name = api.create_inline_job([request_of("a")]).json()["name"]
    path = f"/v1beta/{name}:updateEmbedContentBatch"
    body = {"priority": "7", "displayName": "new"}
    changed = api.http.patch(path, params={"updateMask": "priority"}, json=body).json()
    assert (changed["priority"], changed["displayName"]) == ("7", "job")
    api.http.patch(path, params={"updateMask": "display_name,priority"}, json=body)
    assert api.get(name)["metadata"]["displayName"] == "new"
    assert "'state' cannot be updated" in message(
        api.http.patch(path, params={"updateMask": "state"}, json={"state": "x"})
    )
    assert "is required" in message(
        api.http.patch(path, params={"updateMask": "displayName"}, json={})
    )
