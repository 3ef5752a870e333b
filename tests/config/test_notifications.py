"""The section `notify`: what it cannot be, said without the address."""

from pathlib import Path

import pytest

from reembed.config.load import config_from_mapping
from reembed.errors import UsageError


@pytest.mark.parametrize(
    ("notify", "words"),
    [
        ({"webhook": "chat.example.com/T0/secret"}, "notify.webhook: (not shown): not an http"),
        ({"webhook": "https://a.example/secret", "webhook_env": "HOOK"}, "not both"),
        ({"webhook_env": "no name"}, "notify.webhook_env"),
        ({"events": ["ended"]}, "notify.events"),
        ({"timeout_seconds": 0}, "notify.timeout_seconds"),
        ({"attempts": 0}, "notify.attempts"),
    ],
)
def test_what_notify_cannot_be_is_refused_without_the_address(
    notify: dict[str, object], words: str, tmp_path: Path
) -> None:
    data = {"name": "x", "source": {"files": ["*"]}, "notify": notify}
    with pytest.raises(UsageError) as caught:
        config_from_mapping(data, tmp_path)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
