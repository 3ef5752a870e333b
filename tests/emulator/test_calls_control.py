from __future__ import annotations

import pytest


def test_counts_and_bills(serve, request_of):
    api = serve()
    api.run([request_of("one two"), request_of("three"), request_of(" ")])
    jobs = api.http.get("/emulator/jobs").json()
    assert (jobs["billed_rows"], jobs["billed_tokens"]) == (2, 3)
    assert jobs["jobs"][0]["kind"] == "file"
    counted = api.http.get("/emulator/requests").json()["counts"]
    creates = [row["count"] for row in counted if row["route"] == "batches.create"]
    assert creates == [1] == [api.server.journal.count("batches.create", 200)]


@pytest.mark.parametrize("seconds", [-1, "x", None, True])
def test_the_clock_refuses_anything_but_a_number_from_zero(api, seconds):
    refused = api.http.post("/emulator/advance", json={"seconds": seconds})
    assert refused.status_code == 400
    assert f"got {seconds!r}" in refused.json()["error"]["message"]


@pytest.mark.parametrize(("body", "message"), [(b"{", "not JSON"), (b"{}", "must be a list")])
def test_faults_must_be_a_list(api, body, message):
    refused = api.http.post("/emulator/faults", content=body)
    assert refused.status_code == 400
    assert message in refused.json()["error"]["message"]
