from __future__ import annotations

from reembed_emulator.app import fault_names, find_route, route_name


def message(answer, code=400):
    assert answer.status_code == code, answer.text
    return answer.json()["error"]["message"]


def test_unknown_batches_and_paths(api):
    for method, path in (
        ("GET", "/v1beta/batches/nobody"),
        ("DELETE", "/v1beta/batches/nobody"),
        ("POST", "/v1beta/batches/nobody:cancel"),
        ("GET", "/v1beta/nothing"),
        ("GET", "/v1/files"),
        ("GET", "/"),
    ):
        message(api.http.request(method, path), 404)


def test_routes_have_the_names_that_faults_use():
    found = find_route("GET", "/download/v1beta/files/abc:download")
    assert found is not None
    assert (found[0].name, found[1]) == ("files.download", {"file": "abc"})
    assert find_route("GET", "/v1beta/files/abc:other") is None
    upload = find_route("POST", "/upload/v1beta/files")
    assert upload is not None
    assert route_name(upload[0], "upload, finalize") == "upload.finalize"
    assert route_name(upload[0], "upload") == "upload.chunk"
    assert {"*", "batches.create", "files.download", "upload.chunk"} <= fault_names()
    assert not {"control", "upload", "unknown"} & fault_names()
