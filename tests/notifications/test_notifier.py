"""Telling people: once for each piece of news and channel, whatever fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from reembed.config.load import ResolvedConfig, config_from_mapping
from reembed.errors import NotificationError, StorageError
from reembed.ledger.layout import Layout
from reembed.ledger.run_dir import RunDir, open_run_dir
from reembed.notifications.channels import Message
from reembed.notifications.notices import (
    RunPlace,
    capped_notice,
    failed_notice,
    kind_of,
    settled_notice,
    stuck_notice,
)
from reembed.notifications.notifier import Notifier, open_notifier
from reembed.storage.local import LocalStorage

REPORT = {"rows": 5, "rejects": 0, "planned": 5, "usd": 0.5, "shards": 1, "settled_shards": 1}


@dataclass
class Heard:
    """A channel that keeps what it was sent, and fails while `failures` last."""

    name: str = "webhook"
    failures: int = 0
    got: list[Any] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.failures:
            self.failures -= 1
            raise NotificationError("no answer", transient=True)
        self.got.append(json.loads(message.body))


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., ResolvedConfig]:
    def load(**notify: Any) -> ResolvedConfig:
        data = {"name": "told", "run_dir": "run", "source": {"files": ["*"]}, "notify": notify}
        return config_from_mapping(data, tmp_path)

    return load


@pytest.fixture
def place(tmp_path: Path) -> RunPlace:
    return RunPlace("told", "a1b2", 1, 0, str(tmp_path / "run"))


def notifier_of(
    loaded: ResolvedConfig, *channels: Heard, said: list[str] | None = None
) -> Notifier:
    run_dir = RunDir(LocalStorage(), Layout(loaded.config.run_dir))
    say = (said if said is not None else []).append
    return Notifier(run_dir, channels, loaded.config, say, sleep=lambda _: None)


def test_each_channel_hears_of_it_once(
    loaded: Callable[..., ResolvedConfig], place: RunPlace
) -> None:
    one, other, said = Heard("webhook"), Heard("command", failures=4), []
    notifier = notifier_of(loaded(), one, other, said=said)
    for _ in range(3):
        notifier.notify(settled_notice(place, REPORT))
    assert len(one.got) == len(other.got) == 1, "the command heard it in the second call"
    assert said == ["notify: settled could not be told by command: no answer; the next call "
                    "tries again"]  # fmt: skip
    notifier.notify(settled_notice(replace(place, generation=1), REPORT))
    assert [body["id"] for body in one.got] == ["a1b2.g0.settled", "a1b2.g1.settled"]


def test_only_what_was_asked_for_is_told(
    loaded: Callable[..., ResolvedConfig], place: RunPlace
) -> None:
    heard = Heard()
    notifier = notifier_of(loaded(events=["failed"], attempts=1), heard)
    notifier.notify(settled_notice(place, REPORT))
    notifier.notify(failed_notice(place, {}, "it broke"))
    assert [body["event"] for body in heard.got] == ["failed"]


def test_the_same_failure_with_other_numbers_is_the_same(
    loaded: Callable[..., ResolvedConfig], place: RunPlace
) -> None:
    heard = Heard()
    notifier = notifier_of(loaded(), heard)
    for error in ("batches/a1 of shard 7 is gone", "batches/b2 of shard 9 is gone", "no key"):
        notifier.notify(failed_notice(place, REPORT, error))
    assert [body["message"] for body in heard.got] == ["batches/a1 of shard 7 is gone", "no key"]
    assert kind_of("3 of 4 jobs") == kind_of("17 of 40 jobs") != kind_of("3 of 4 shards")


def test_a_cap_is_told_once_and_another_cap_again(
    loaded: Callable[..., ResolvedConfig], place: RunPlace
) -> None:
    heard = Heard()
    notifier = notifier_of(loaded(), heard)
    for cap in (1.0, 1.0, 2.0):
        notifier.notify(capped_notice(place, REPORT, "used up", cap))
    assert [body["id"] for body in heard.got] == [
        "a1b2.g0.capped-1000000000",
        "a1b2.g0.capped-2000000000",
    ]


def test_one_more_job_that_hangs_is_news(
    loaded: Callable[..., ResolvedConfig], place: RunPlace
) -> None:
    heard = Heard()
    notifier = notifier_of(loaded(), heard)
    for jobs in (["batches/a"], ["batches/a"], ["batches/a", "batches/b"], ["batches/b"]):
        notifier.notify(stuck_notice(place, {}, jobs, resubmits=True))
    assert [body["stuck"] for body in heard.got] == [["batches/a"], ["batches/a", "batches/b"]]
    assert heard.got[0]["next"].startswith("nothing")


def test_before_the_first_commit_there_is_a_place_too(
    loaded: Callable[..., ResolvedConfig], tmp_path: Path
) -> None:
    heard = Heard()
    nowhere = RunPlace("told", "", 0, 0, str(tmp_path / "run"))
    notifier = notifier_of(loaded(), heard)
    for _ in range(2):
        notifier.notify(failed_notice(nowhere, {}, "a name with \udcff in it"))
    [body] = heard.got
    assert body["id"].startswith("told.g0.failed-")
    assert "\\udcff" in body["message"]
    assert body["text"].startswith("reembed told failed: ")


class _NoRoom(LocalStorage):
    def create(self, uri: str, data: bytes) -> Any:
        raise StorageError(f"{uri}: no space left")


def test_a_ledger_that_takes_no_record_fails_nothing(
    loaded: Callable[..., ResolvedConfig], place: RunPlace
) -> None:
    heard, said = Heard(), []
    notifier = replace(
        notifier_of(loaded(), heard, said=said),
        run_dir=RunDir(_NoRoom(), Layout(loaded().config.run_dir)),
    )
    notifier.notify(settled_notice(place, REPORT))
    assert len(heard.got) == 1
    assert "settled could not be put on record as told by webhook" in said[0]
    assert "no space left" in said[0]


def test_nobody_to_tell_and_an_address_that_is_not_set(
    loaded: Callable[..., ResolvedConfig],
) -> None:
    said: list[str] = []
    run_dir = open_run_dir(loaded().config.run_dir)
    assert open_notifier(loaded(), run_dir, said.append) is None
    found = open_notifier(loaded(webhook_env="NO_SUCH_HOOK_IS_SET"), run_dir, said.append)
    assert found is not None
    assert list(found.channels) == []
    assert "NO_SUCH_HOOK_IS_SET is not set" in said[0]
