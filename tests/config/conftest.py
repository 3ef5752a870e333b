import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.errors import ConfigError

BASE = Path("/srv/migration")
JARGON = re.compile(r"[Ii]nput should|[Vv]alidation|pydantic|[Vv]alue error|extra_forb|NoneType")


class Loader:
    """Loads the least configuration there is, with the overrides given."""

    data = {"name": "a", "source": {"files": ["./corpus/**"]}}

    def __call__(self, *overrides: str, **sections: object) -> ResolvedConfig:
        return config_from_mapping({**self.data, **sections}, BASE, overrides)


@pytest.fixture
def load() -> Loader:
    return Loader()


@pytest.fixture
def error(load: Loader) -> Callable[..., ConfigError]:
    """Load what must be refused in one line of plain words; the error."""

    def refused(*overrides: str, **sections: object) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            load(*overrides, **sections)
        text = str(caught.value)
        assert "\n" not in text
        assert not JARGON.search(text)
        return caught.value

    return refused


@pytest.fixture
def one_wrong_key(error: Callable[..., ConfigError]) -> Callable[[str, str, str, str], None]:
    """Check what is said of one wrong key: ``(override, key, value, words of the remedy)``."""

    def check(override: str, key: str, value: str, remedy: str) -> None:
        found = error(override)
        assert (found.key, found.value) == (key, value)
        assert remedy in found.remedy
        assert str(found).startswith(f"{key}: {value}: ")

    return check
