"""The channels that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping

from reembed.config.notify import NotifyConfig, is_http
from reembed.errors import UsageError
from reembed.notify.base import Channel
from reembed.notify.command import Command
from reembed.notify.webhook import Webhook


def open_channels(config: NotifyConfig, folder: str, environ: Mapping[str, str]) -> list[Channel]:
    """The webhook and the command, as far as there are any.

    Args:
        config: the section.
        folder: the configuration's, for a command.
        environ: the process's environment, for an address that is a secret.

    Raises:
        UsageError: the variable that should hold the address is not set, or holds none.
    """
    channels: list[Channel] = []
    if (url := webhook_of(config, environ)) is not None:
        channels.append(Webhook(url, config.timeout_seconds))
    if config.command:
        channels.append(Command(config.command, folder, config.timeout_seconds))
    return channels


def webhook_of(config: NotifyConfig, environ: Mapping[str, str]) -> str | None:
    """The address of the webhook; None where there is none.

    Raises:
        UsageError: as above.
    """
    if config.webhook_env is None:
        return config.webhook
    url = environ.get(config.webhook_env, "").strip()
    if not is_http(url):
        raise UsageError(
            f"notify.webhook_env: {config.webhook_env} is not set to an http(s) address in the "
            "environment of this process"
        )
    return url
