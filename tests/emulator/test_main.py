from __future__ import annotations

import os

import pytest

from reembed_emulator.__main__ import main


def test_invalid_options_are_named(capsys):
    assert main(["--pending-seconds", "-1"]) == 2
    assert "pending_seconds=-1.0 must be greater" in capsys.readouterr().err


def test_a_port_in_use_is_named(spawn, capsys):
    _, api = spawn()
    port = api.server.base_url.rsplit(":", 1)[1]
    assert main(["--port", port]) == 2
    message = capsys.readouterr().err
    assert os.strerror(98) in message or "in use" in message


def test_unreadable_faults_are_named(tmp_path, capsys):
    (tmp_path / "faults.yaml").write_text("on: models.list")
    assert main(["--port", "0", "--faults", str(tmp_path / "faults.yaml")]) == 2
    assert "holds no list of faults" in capsys.readouterr().err


def test_help_names_the_module(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "python -m reembed_emulator" in capsys.readouterr().out
