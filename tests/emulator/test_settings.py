from __future__ import annotations

import dataclasses
import re

import pytest

from reembed_emulator.settings import EmulatorSettings


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("concurrent_jobs", 0, "concurrent_jobs=0 must be above 0"),
        ("file_life_hours", -1, "file_life_hours=-1 must be above 0"),
        ("pending_seconds", -0.1, "pending_seconds=-0.1 must not be negative"),
        ("port", 70000, "port=70000"),
        ("missing_file_code", 410, "missing_file_code=410"),
        ("expected_key", "", "expected_key is empty"),
    ],
)
def test_settings_are_checked(field, value, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        EmulatorSettings(**{field: value})


def test_every_setting_is_documented():
    for field in dataclasses.fields(EmulatorSettings):
        assert f"        {field.name}: " in (EmulatorSettings.__doc__ or "")
