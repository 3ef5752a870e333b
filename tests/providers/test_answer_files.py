"""An answer's file: whole under its name, or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from reembed.errors import StorageError
from reembed.providers.answer_files import whole_or_nothing


def test_a_file_takes_its_name_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    with whole_or_nothing(path) as receiver:
        receiver.write(b"first ")
        receiver.write(b"second")
        assert not path.exists()
    assert path.read_bytes() == b"first second"
    assert list(tmp_path.iterdir()) == [path]


def test_an_answer_that_begins_anew_replaces_what_came(tmp_path: Path) -> None:
    with whole_or_nothing(tmp_path / "answer") as receiver:
        receiver.write(b"a longer beginning")
        receiver.rewind()
        receiver.write(b"whole")
    assert (tmp_path / "answer").read_bytes() == b"whole"


def test_an_error_leaves_nothing_and_what_stood_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    path.write_bytes(b"before")

    def break_off() -> None:
        with whole_or_nothing(path) as receiver:
            receiver.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_says_no_is_an_error_of_the_storage(tmp_path: Path) -> None:
    path = tmp_path / "no such folder" / "answer"
    with pytest.raises(StorageError, match="answer cannot be written"), whole_or_nothing(path):
        pass
