from __future__ import annotations

import base64
import hashlib
import socket

import pytest


def result_of(api, requests):
    operation = api.wait(api.create_file_job(requests))
    return operation["metadata"]["output"]["responsesFile"]


KIB256 = 256 * 1024


def query(api, url):
    return api.bare.post(url, headers={"X-Goog-Upload-Command": "query"})


def test_one_chunk_makes_a_file(api):
    file = api.upload(b"hello", name="files/one-chunk", mime_type="text/plain")
    assert file["name"] == "files/one-chunk"
    assert file["sizeBytes"] == "5"
    assert file["mimeType"] == "text/plain"
    assert file["displayName"] == "input"
    assert file["state"] == "ACTIVE"
    assert base64.b64decode(file["sha256Hash"]).decode() == hashlib.sha256(b"hello").hexdigest()
    assert file["uri"] == f"{api.server.base_url}/v1beta/files/one-chunk"


def test_chunks_are_counted_and_queried(api):
    url = api.start_upload(11).headers["x-goog-upload-url"]
    first = api.send_chunk(url, b"hello ", 0, "upload")
    assert first.headers["x-goog-upload-status"] == "active"
    assert query(api, url).headers["x-goog-upload-size-received"] == "6"
    last = api.send_chunk(url, b"world", 6)
    assert last.headers["x-goog-upload-status"] == "final"
    assert last.json()["file"]["sizeBytes"] == "11"
    asked = query(api, url)
    assert asked.headers["x-goog-upload-status"] == "final"
    assert asked.headers["x-goog-upload-size-received"] == "11"


def test_wrong_offset_is_refused_and_tells_the_right_one(api):
    url = api.start_upload(10).headers["x-goog-upload-url"]
    api.send_chunk(url, b"hello", 0, "upload")
    for offset in (0, 4, 6, "x"):
        refused = api.send_chunk(url, b"world", offset)
        assert refused.status_code == 400
        assert "must be 5" in refused.json()["error"]["message"]
        assert refused.headers["x-goog-upload-size-received"] == "5"
        assert refused.headers["x-goog-upload-status"] == "active"
    assert api.send_chunk(url, b"world", 5).status_code == 200


def test_short_and_long_uploads_are_refused(api):
    url = api.start_upload(10).headers["x-goog-upload-url"]
    assert "10 bytes were declared" in api.send_chunk(url, b"x" * 11, 0).text
    assert "5 bytes of 10" in api.send_chunk(url, b"hello", 0).text
    assert api.send_chunk(url, b"world", 5).status_code == 200
    assert "final already" in api.send_chunk(url, b"", 10).text


def test_finalize_alone_and_cancel(api):
    url = api.start_upload(5).headers["x-goog-upload-url"]
    api.send_chunk(url, b"hello", 0, "upload")
    assert api.send_chunk(url, b"", 5, "finalize").json()["file"]["sizeBytes"] == "5"
    other = api.start_upload(5).headers["x-goog-upload-url"]
    cancelled = api.send_chunk(other, b"", 0, "cancel")
    assert cancelled.headers["x-goog-upload-status"] == "cancelled"
    assert api.send_chunk(other, b"hello", 0).status_code == 400


def test_a_cut_chunk_keeps_what_arrived(api):
    url = api.start_upload(100_000).headers["x-goog-upload-url"]
    host, port = api.server.base_url.removeprefix("http://").split(":")
    head = (
        f"POST {url.split(port, 1)[1]} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100000\r\n"
        "X-Goog-Upload-Command: upload, finalize\r\nX-Goog-Upload-Offset: 0\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as broken:
        broken.sendall(head.encode() + b"a" * 40_000)
    for _ in range(100):
        arrived = int(query(api, url).headers["x-goog-upload-size-received"])
        if arrived == 40_000:
            break
    assert arrived == 40_000
    done = api.send_chunk(url, b"b" * 60_000, arrived)
    assert done.json()["file"]["sizeBytes"] == "100000"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Goog-Upload-Protocol": "multipart"}, "must be resumable"),
        ({"X-Goog-Upload-Protocol": ""}, "must be resumable"),
        ({"X-Goog-Upload-Header-Content-Length": ""}, "must be a number"),
        ({"X-Goog-Upload-Command": "begin"}, "not known"),
        ({"X-Goog-Upload-Header-Content-Type": ""}, "MIME type is missing"),
    ],
)
def test_start_needs_its_headers(api, headers, expected):
    refused = api.start_upload(5, **headers)
    assert refused.status_code == 400
    assert expected in refused.json()["error"]["message"]


def test_start_needs_the_key_and_chunks_do_not(api):
    assert api.start_upload(5, **{"x-goog-api-key": ""}).status_code == 403
    assert api.send_chunk(api.start_upload(0).headers["x-goog-upload-url"], b"", 0).is_success


def test_unknown_fields_of_the_file(api):
    headers = {
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": "5",
    }
    refused = api.http.post("/upload/v1beta/files", json={"file": {"title": "x"}}, headers=headers)
    assert "Unknown name \"title\" at 'file'" in refused.json()["error"]["message"]


def test_unknown_upload(api):
    url = f"{api.server.base_url}/upload/v1beta/files?upload_id=nobody"
    assert api.send_chunk(url, b"x", 0).status_code == 404


def test_strict_chunks(serve):
    strict = serve(strict_chunks=True)
    started = strict.start_upload(KIB256 + 5)
    assert started.headers["x-goog-upload-chunk-granularity"] == str(KIB256)
    url = started.headers["x-goog-upload-url"]
    assert "not a multiple" in strict.send_chunk(url, b"x" * 5, 0, "upload").text
    assert strict.send_chunk(url, b"x" * KIB256, 0, "upload").is_success
    assert strict.send_chunk(url, b"x" * 5, KIB256).is_success


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
