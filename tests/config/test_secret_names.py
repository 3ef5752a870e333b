"""Names of secrets: in full, and never a key itself."""

from pathlib import Path

import pytest

from reembed.config.load import config_from_mapping
from reembed.config.schema import ServiceConfig
from reembed.config.secret_names import location_of
from reembed.errors import UsageError


@pytest.mark.parametrize(
    "name",
    [
        "projects/my-project/secrets/gemini/versions/3",
        "projects/123456/secrets/gemini_key-2/versions/latest",
        "projects/example.com:old/secrets/k/versions/1",
        "projects/my-project/locations/europe-west4/secrets/gemini/versions/3",
    ],
)
def test_a_secret_is_named_in_full(name: str) -> None:
    assert ServiceConfig(api_key_secret=name).api_key_secret == name


@pytest.mark.parametrize(
    "name",
    [
        "AIzaSy0123456789abcdefghijklmnop",
        "",
        "projects/my-project/secrets/gemini",
        "secrets/gemini/versions/3",
        "projects/my-project/secrets/gemini/versions/3 ",
        "projects/my project/secrets/gemini/versions/3",
        "projects/p1/locations/here/secrets/gemini/versions/3",
    ],
)
def test_what_is_no_name_of_a_secret_is_refused_and_not_shown(name: str) -> None:
    data = {"name": "a", "source": {"files": ["**"]}, "service": {"api_key_secret": name}}
    with pytest.raises(UsageError, match="versions/VERSION, never the key itself") as caught:
        config_from_mapping(data, Path())
    assert not name or name not in str(caught.value)


def test_a_regional_secret_has_its_location_in_its_name() -> None:
    regional = "projects/my-project/locations/europe-west4/secrets/gemini/versions/3"
    assert location_of(regional) == "europe-west4"
    assert location_of("projects/my-project/secrets/gemini/versions/3") == ""
    assert location_of("no name at all") == ""
