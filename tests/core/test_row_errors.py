import pickle

from reembed.core.row_errors import RowError, clip


def test_own_findings_are_not_the_services() -> None:
    assert not RowError("missing", "no line").from_service


def test_clip_keeps_what_utf8_can_hold() -> None:
    assert clip("a\ud800b") == "a?b"
    assert len(clip("x" * 10_000)) == 500


def test_a_row_error_travels() -> None:
    error = RowError("internal", "x", 13)
    assert pickle.loads(pickle.dumps(error)) == error
