from __future__ import annotations

import pickle

import pytest

from reembed_emulator.errors import ApiError, RowError, exhausted, no_such_file


@pytest.mark.parametrize(
    ("code", "name"), [(404, "NOT_FOUND"), (503, "UNAVAILABLE"), (418, "UNKNOWN")]
)
def test_the_body_names_the_status(code, name):
    assert ApiError(code, "why").body() == {
        "error": {"code": code, "message": "why", "status": name}
    }


def test_details_are_part_of_the_body_and_headers_are_not():
    err = ApiError(400, "why", ({"reason": "r"},), {"Retry-After": "5"})
    assert err.body()["error"]["details"] == [{"reason": "r"}]
    assert err.headers == {"Retry-After": "5"}


def test_an_exhausted_quota_names_no_time_to_wait():
    assert (exhausted().code, exhausted().headers) == (429, {})


def test_a_missing_file_has_one_message_for_both_codes():
    assert no_such_file("a", 403).message == no_such_file("a").message


def test_errors_survive_pickling():
    row = pickle.loads(pickle.dumps(RowError("why", 5)))
    assert row.status() == {"code": 5, "message": "why"}
    api = pickle.loads(pickle.dumps(ApiError(409, "why", headers={"a": "b"})))
    assert (api.code, api.message, api.headers) == (409, "why", {"a": "b"})
