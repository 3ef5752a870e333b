import pytest

from reembed.core.row_errors import RPC_NAMES
from reembed.providers.rpc_status import error_from_status


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"code": 8, "message": "later"}, "resource_exhausted"),
        ({"code": 429, "message": "later"}, "resource_exhausted"),
        ({"code": "14"}, "unavailable"),
        ({"code": 503}, "unavailable"),
        ({"code": 404}, "not_found"),
        ({"code": 418, "message": "?"}, "unknown"),
        ({"code": 99, "message": "?"}, "unknown"),
        ({"status": "PERMISSION_DENIED"}, "permission_denied"),
        ({"message": "no code"}, "unknown"),
        ("INTERNAL", "internal"),
        ("something went wrong", "unknown"),
        (13, "internal"),
    ],
)
def test_codes_and_names_become_one_word(status: object, reason: str) -> None:
    error = error_from_status(status)
    assert error is not None
    assert error.reason == reason
    assert RPC_NAMES[error.code] == reason
    assert error.from_service
    assert error.message


@pytest.mark.parametrize("status", [None, {}, {"code": 0}, {"code": 200}, "OK", 0, True, ""])
def test_no_error(status: object) -> None:
    assert (error_from_status(status) is None) == (status != "")
