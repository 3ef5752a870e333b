from pathlib import Path

import pytest

from reembed.config.load import LoadedConfig, config_from_mapping

BASE = Path("/srv/migration")


class Loader:
    """Loads the least configuration there is, with the overrides given."""

    data = {"name": "a", "source": {"files": ["./corpus/**"]}}

    def __call__(self, *overrides: str, **sections: object) -> LoadedConfig:
        return config_from_mapping({**self.data, **sections}, BASE, overrides)


@pytest.fixture
def load() -> Loader:
    return Loader()
