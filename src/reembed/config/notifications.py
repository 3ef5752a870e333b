"""Section `notify`: channels to people, and the events that they are notified of."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from reembed.config.base import Problem, ProblemsError, Section

NoticeEvent = Literal["settled", "failed", "capped", "stuck"]


class NotifyConfig(Section):
    """Webhook, command, or both; without either nobody is notified.

    `webhook_env` names an environment variable that holds the address, where that is a secret.
    `command` is run without a shell and reads the same body. `body` ``text`` sends a line of text
    alone, as chat services take it.
    """

    webhook: str | None = None
    webhook_env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    command: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    body: Literal["json", "text"] = "json"
    events: tuple[NoticeEvent, ...] = ("settled", "failed", "capped", "stuck")
    timeout_seconds: float = Field(10.0, gt=0, le=300)
    attempts: int = Field(4, ge=1, le=10)

    @model_validator(mode="after")
    def _one_address(self) -> NotifyConfig:
        if self.webhook is not None and self.webhook_env is not None:
            remedy = "give webhook or webhook_env, not both"
            raise ProblemsError(Problem("webhook", "(not shown)", remedy))
        if self.webhook is not None and not is_http(self.webhook):
            # Addresses of webhooks are often secrets.
            remedy = "not an http(s) address; give for instance https://chat.example.com/hook"
            raise ProblemsError(Problem("webhook", "(not shown)", remedy))
        return self

    @property
    def is_off(self) -> bool:
        """True where nobody is to be notified."""
        return self.webhook is None and self.webhook_env is None and not self.command


def is_http(url: str) -> bool:
    """Tell whether a text is an http(s) address with a host."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
