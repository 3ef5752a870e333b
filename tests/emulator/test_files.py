from __future__ import annotations

import json

import pytest


def result_of(api, requests):
    operation = api.wait(api.create_file_job(requests))
    return operation["metadata"]["output"]["responsesFile"]


def test_result_file_has_a_name_that_delete_refuses(api, request_of):
    name = result_of(api, [request_of("a")])
    assert len(name.removeprefix("files/")) == 42
    refused = api.http.delete(f"/v1beta/{name}")
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert "at most 40 characters" in refused.json()["error"]["message"]
    file = api.get(name)
    assert (file["source"], file["downloadUri"].split("?")[1]) == ("GENERATED", "alt=media")


def test_result_file_is_deletable_on_request(serve, request_of):
    kind = serve(result_files_deletable=True)
    name = result_of(kind, [request_of("a")])
    assert kind.http.delete(f"/v1beta/{name}").status_code == 200
    assert kind.http.get(f"/v1beta/{name}").status_code == 404


def test_download_by_range(api, request_of):
    path = f"/v1beta/{result_of(api, [request_of(f'text {i}') for i in range(40)])}:download"
    whole = api.http.get(path, params={"alt": "media"})
    assert whole.headers["content-length"] == str(len(whole.content))
    half = len(whole.content) // 2
    answer = api.http.get(path, params={"alt": "media"}, headers={"Range": f"bytes={half}-"})
    assert answer.status_code == 206
    assert answer.content == whole.content[half:]
    total = len(whole.content)
    assert answer.headers["content-range"] == f"bytes {half}-{total - 1}/{total}"
    beyond = api.http.get(path, params={"alt": "media"}, headers={"Range": f"bytes={total}-"})
    assert beyond.status_code == 416
    assert api.http.get("/download" + path, params={"alt": "media"}).content == whole.content


def test_download_refusals(api):
    name = api.upload(b"mine")["name"]
    assert "Only generated files" in api.http.get(f"/v1beta/{name}:download?alt=media").text
    assert "alt=media" in api.http.get(f"/v1beta/{name}:download").text
    assert api.http.get("/v1beta/files/nobody:download?alt=media").status_code == 404


def test_files_expire_and_free_their_room(serve):
    api = serve(file_life_hours=1, file_storage_bytes=10)
    name = api.upload(b"x" * 10)["name"]
    api.advance(3599)
    assert api.http.get(f"/v1beta/{name}").status_code == 200
    api.advance(2)
    assert api.http.get(f"/v1beta/{name}").status_code == 404
    assert api.http.get("/v1beta/files").json() == {}
    api.upload(b"x" * 10)


def test_results_count_against_the_storage_until_they_expire(serve, request_of):
    api = serve(file_storage_bytes=10_000)
    request = request_of("a", outputDimensionality=768)
    result = result_of(api, [request])
    assert int(api.get(result)["sizeBytes"]) > 7_000
    assert api.start_upload(5_000).status_code == 429
    api.advance(48 * 3600)
    assert api.start_upload(5_000).status_code == 200


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


def test_missing_file_may_be_403(serve):
    api = serve(missing_file_code=403)
    refused = api.http.get("/v1beta/files/nobody")
    assert refused.json()["error"]["status"] == "PERMISSION_DENIED"
    assert api.http.delete("/v1beta/files/nobody").status_code == 403


def test_journal_never_holds_the_key(serve):
    api = serve()
    api.http.get("/v1beta/files?key=secret-key")
    lines = api.server.backend.state.journal.read_text()
    assert "secret-key" not in lines
    entry = json.loads(lines.splitlines()[0])
    assert (entry["method"], entry["route"], entry["status"]) == ("GET", "files.list", 200)
