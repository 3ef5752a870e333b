from __future__ import annotations

import dataclasses
import re

import pytest

from reembed_emulator.settings import EmulatorSettings, load_settings


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("concurrent_jobs", 0, "concurrent_jobs=0 must be greater than 0"),
        ("concurrent_jobs", "many", "concurrent_jobs='many' must be a valid integer"),
        ("file_life_hours", -1, "file_life_hours=-1 must be greater than 0"),
        ("pending_seconds", -0.1, "pending_seconds=-0.1 must be greater than or equal"),
        ("port", 70000, "port=70000 must be less than or equal to 65535"),
        ("missing_file_code", 410, "missing_file_code=410 must be 403 or 404"),
        ("expected_key", "", "expected_key='' must have at least 1 character"),
        ("shuffle_results", "perhaps", "shuffle_results='perhaps' must be a valid bool"),
        ("colour", "red", "colour is not known"),
    ],
)
def test_settings_are_checked(field, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_settings({field: value})
    with pytest.raises(ValueError, match=field):
        EmulatorSettings(**{field: value})


def test_every_setting_is_documented():
    for field in dataclasses.fields(EmulatorSettings):
        assert f"        {field.name}: " in (EmulatorSettings.__doc__ or "")
