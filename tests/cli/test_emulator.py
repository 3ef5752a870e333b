"""`reembed emulator` and its options."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.harness import invoke, reembed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "speed=5"], "give NAME=VALUE with one of"),
        (["--set", "running_seconds"], "give NAME=VALUE with one of"),
        (["--set", "running_seconds=-1"], "-1 must be greater than or equal to 0"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
    ],
)
def test_what_it_cannot_be_is_refused(arguments: list[str], words: str) -> None:
    done = invoke("emulator", "--port", 0, *arguments)
    assert done.code == 2
    assert words in done.err


def test_a_taken_port_is_named() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = invoke("emulator", "--port", port)
    assert done.code == 2
    assert f":{port}" in done.err
    assert "--port" in done.err


def test_a_faults_file_that_holds_none(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("- {on: batches.get, do: nonsense}\n")
    done = reembed("emulator", "--port", 0, "--faults", path)
    assert done.code == 2, done.err
    assert "nonsense" in done.err
    assert "Traceback" not in done.err
    for text, words in (("- [unclosed", "faults.yaml"), ("{}", "no list of faults")):
        path.write_text(text)
        done = invoke("emulator", "--port", 0, "--faults", path)
        assert done.code == 2
        assert words in done.err
    path.unlink()
    done = invoke("emulator", "--port", 0, "--faults", path)
    assert done.code == 2
    assert "faults.yaml" in done.err
    assert "cannot listen" not in done.err
