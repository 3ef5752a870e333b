from __future__ import annotations

import pytest

from reembed_emulator.errors import RowError
from reembed_emulator.files import Files


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


def test_missing_file_may_be_403(serve):
    api = serve(missing_file_code=403)
    refused = api.http.get("/v1beta/files/nobody")
    assert refused.json()["error"]["status"] == "PERMISSION_DENIED"
    assert api.http.delete("/v1beta/files/nobody").status_code == 403


def test_resolve_reads_the_last_part_of_a_uri_only(serve):
    files: Files = serve().server.backend.files
    with pytest.raises(RowError, match="does not exist") as caught:
        files.resolve("https://example.com/../../etc/passwd")
    assert caught.value.code == 5


@pytest.mark.parametrize(
    "name",
    [
        "x",
        "files/",
        "files/-a",
        "files/a-",
        "files/A",
        "files/a_b",
        "files/a/b",
        "files/" + "a" * 41,
    ],
)
def test_bad_names(api, name):
    refused = api.start_upload(5, name=name)
    assert (refused.status_code, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_a_name_of_forty_characters_is_taken_once(api):
    name = "files/" + "a" * 40
    api.upload(b"1", name=name)
    refused = api.start_upload(1, name=name)
    assert (refused.status_code, refused.json()["error"]["status"]) == (409, "ALREADY_EXISTS")
    assert api.http.delete(f"/v1beta/{name}").json() == {}
    api.upload(b"2", name=name)


def test_two_uploads_of_one_name_end_in_one_file(api):
    urls = [api.start_upload(1, name="files/racing").headers["x-goog-upload-url"] for _ in range(2)]
    answers = [api.send_chunk(url, b"x", 0).status_code for url in urls]
    assert answers == [200, 409]


def test_upload_limits(serve):
    small = serve(max_upload_bytes=10, file_storage_bytes=25)
    assert "exceeds the limit of 10" in small.start_upload(11).text
    small.upload(b"x" * 10)
    small.upload(b"x" * 10, name="files/second")
    refused = small.start_upload(6)
    assert (refused.status_code, refused.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    small.http.delete("/v1beta/files/second")
    assert small.start_upload(6).status_code == 200


def test_storage_is_checked_again_at_the_end(serve):
    small = serve(file_storage_bytes=15)
    urls = [small.start_upload(10).headers["x-goog-upload-url"] for _ in range(2)]
    assert [small.send_chunk(url, b"x" * 10, 0).status_code for url in urls] == [200, 429]
