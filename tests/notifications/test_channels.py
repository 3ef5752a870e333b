"""Webhooks that fail first, redirect, refuse or hang; commands that do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from reembed.config.notifications import NotifyConfig
from reembed.errors import NotificationError, UsageError
from reembed.notifications.channels import Command, Message, Webhook, open_channels, send_patiently
from support.hooks import Hook
from support.waiting import wait_until

MESSAGE = Message(b'{"event":"settled"}', "settled", "a1b2")


def test_a_webhook_gets_the_body_once(hook: Hook) -> None:
    Webhook(hook.url, 5).send(MESSAGE)
    assert hook.got == [MESSAGE.body]
    sent = {name.lower(): value for name, value in hook.headers[0].items()}
    assert sent["content-type"] == "application/json"


def test_a_webhook_that_fails_first_is_tried_again(hook: Hook) -> None:
    hook.statuses = [503, 429]
    waits: list[float] = []
    send_patiently(Webhook(hook.url, 5), MESSAGE, 4, waits.append)
    assert len(hook.got) == 3
    assert waits == [1.0, 2.0]


def test_a_webhook_that_goes_on_failing_is_given_up(hook: Hook) -> None:
    hook.statuses = [500] * 9
    with pytest.raises(NotificationError, match=r"127\.0\.0\.1 answers 500"):
        send_patiently(Webhook(hook.url, 5), MESSAGE, 3, lambda _: None)
    assert len(hook.got) == 3


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_repeated(hook: Hook, status: int) -> None:
    hook.statuses = [status]
    with pytest.raises(NotificationError, match=f"answers {status}") as caught:
        send_patiently(Webhook(hook.url, 5), MESSAGE, 4, lambda _: None)
    assert "secret" not in str(caught.value)
    assert len(hook.got) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_leads_nowhere(hook: Hook, elsewhere: Hook, status: int) -> None:
    hook.statuses, hook.location = [status], elsewhere.url
    with pytest.raises(NotificationError, match="not followed: give the final address"):
        send_patiently(Webhook(hook.url, 5), MESSAGE, 4, lambda _: None)
    assert len(hook.got) == 1
    assert elsewhere.got == []


def test_a_webhook_that_hangs_is_left_in_time(hook: Hook) -> None:
    hook.statuses = [0]
    with pytest.raises(NotificationError, match=r"did not answer within 0\.3 s"):
        Webhook(hook.url, 0.3).send(MESSAGE)


def test_a_host_that_is_not_there_is_named_without_the_address(hook: Hook) -> None:
    url = hook.url
    hook.close()
    with pytest.raises(NotificationError, match=r"127\.0\.0\.1 cannot be reached") as caught:
        Webhook(url, 5).send(MESSAGE)
    assert caught.value.transient
    assert "secret" not in str(caught.value)


def script(folder: Path, text: str) -> list[str]:
    (folder / "tell.py").write_text(text)
    return [sys.executable, "tell.py", "a b; $HOME"]


def test_a_command_reads_the_body_and_knows_no_key(tmp_path: Path) -> None:
    os.environ["GEMINI_API_KEY"] = "AIza-not-for-others"
    try:
        words = script(
            tmp_path,
            "import os, sys\n"
            "open('got', 'w').write(sys.stdin.read() + sys.argv[1])\n"
            "assert 'GEMINI_API_KEY' not in os.environ\n"
            "assert os.environ['REEMBED_EVENT'] == 'settled'\n"
            "assert os.environ['REEMBED_RUN'] == 'a1b2'",
        )
        Command(words, str(tmp_path), 30).send(MESSAGE)
    finally:
        del os.environ["GEMINI_API_KEY"]
    assert (tmp_path / "got").read_text() == MESSAGE.body.decode() + "a b; $HOME", "no shell"


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    words = script(tmp_path, "import sys\nsys.exit('no route to the pager')")
    with pytest.raises(NotificationError, match="ended with 1: no route to the pager") as caught:
        Command(words, str(tmp_path), 30).send(MESSAGE)
    assert caught.value.transient
    with pytest.raises(NotificationError, match=r"\./nothing cannot be started"):
        Command(["./nothing"], str(tmp_path), 30).send(MESSAGE)


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    child = child_of_a_hanging_command(tmp_path)
    wait_until(lambda: has_ended(child), f"process {child} ends with the command")


def child_of_a_hanging_command(folder: Path) -> int:
    """The process that it started; with more patience where it had not even come to that."""
    noted = folder / "child"
    for patience in (0.5, 5, 50):
        with pytest.raises(NotificationError, match=rf"sh took more than {patience:g} s"):
            Command(["sh", "-c", "sleep 600 & echo $! > child; wait"], str(folder), patience).send(
                MESSAGE
            )
        if noted.exists() and noted.read_text().strip():
            return int(noted.read_text())
    raise AssertionError("the command never started")


def has_ended(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_the_address_may_come_from_the_environment() -> None:
    config = NotifyConfig(webhook_env="HOOK", command=("true",))
    channels = open_channels(config, "/", {"HOOK": "https://chat.example.com/x"})
    assert [channel.name for channel in channels] == ["webhook", "command"]
    for environ in ({}, {"HOOK": "chat.example.com"}):
        with pytest.raises(UsageError, match="HOOK is not set to an http"):
            open_channels(config, "/", environ)
