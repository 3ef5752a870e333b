from __future__ import annotations

import pytest


def message(answer, code=400):
    assert answer.status_code == code, answer.text
    return answer.json()["error"]["message"]


def test_keys(serve):
    api = serve(expected_key="right")
    wrong = api.http.get("/v1beta/models").json()["error"]
    assert (wrong["code"], wrong["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert api.http.get("/v1beta/models", headers={"x-goog-api-key": "right"}).is_success
    assert api.http.get("/v1beta/models?key=right", headers={"x-goog-api-key": ""}).is_success
    message(api.http.get("/v1beta/models", headers={"x-goog-api-key": ""}), 403)


def test_create_refuses_no_json_and_large_bodies(serve, request_of):
    api = serve(max_inline_bytes=2000)
    path = "/v1beta/models/gemini-embedding-2:asyncBatchEmbedContent"
    assert "Invalid JSON payload" in message(api.http.post(path, content=b"{"))
    assert "exceeds the limit: 2000 bytes" in message(
        api.create_inline_job([request_of("a" * 2000)])
    )


def test_list_pages_hide_and_repeat_nothing(serve):
    api = serve()
    names = [api.upload(b"x", name=f"files/f{number}")["name"] for number in range(7)]
    seen, token = [], ""
    while True:
        page = api.http.get("/v1beta/files", params={"pageSize": 3, "pageToken": token}).json()
        seen += [file["name"] for file in page["files"]]
        if len(seen) == 3:
            # What comes between two pages must not shift the next one.
            api.upload(b"y", name="files/late")
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert seen == names[::-1]


@pytest.mark.parametrize("query", ["pageSize=x", "pageSize=-1", "pageToken=%25%25"])
def test_bad_pages(api, query):
    assert api.http.get(f"/v1beta/files?{query}").status_code == 400
