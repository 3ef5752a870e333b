"""Every check of the doctor, ok and not ok, each by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from reembed.config.load import ResolvedConfig
from reembed.errors import AccessDeniedError, RemoteNotFoundError, ServiceError, TransientError
from reembed.providers.base import ModelInfo
from reembed.runs.doctor import Check, check_all
from reembed.storage.base import Stat, Storage
from reembed.storage.local import LocalStorage

Load = Callable[..., ResolvedConfig]
BATCH = "asyncBatchEmbedContent"


@dataclass
class OneModel:
    """A service of which only `models.get` is asked."""

    answer: ModelInfo | ServiceError

    def __enter__(self) -> OneModel:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return

    def model(self, name: str) -> ModelInfo:
        if isinstance(self.answer, ServiceError):
            raise self.answer
        return self.answer


def checked(
    loaded: ResolvedConfig,
    answer: ModelInfo | ServiceError | None = None,
    storage: Storage | None = None,
) -> dict[str, Check]:
    service = cast(Any, OneModel(answer or ModelInfo("m", 8192, (BATCH,))))
    found = check_all(loaded, storage or LocalStorage(), lambda: service)
    return {check.name: check for check in found}


def test_all_is_well_and_nothing_is_left_behind(load: Load) -> None:
    loaded = load()
    found = checked(loaded)
    assert all(check.ok for check in found.values()), found
    assert "10 items" in found["source"].message
    assert "8,192" in found["key and model"].message
    run_dir = Path(loaded.config.run_dir)
    assert not [path for path in run_dir.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (AccessDeniedError("no", 403), "GEMINI_API_KEY"),
        (RemoteNotFoundError("no", 404), "service.base_url"),
        (TransientError("cannot connect to it"), "cannot connect to it"),
        (ModelInfo("m", 8192, ("embedContent",)), "offers no batch jobs"),
        (ModelInfo("m", 2048, (BATCH,)), "model.limits.text.max_tokens to 2048"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_model(load: Load, answer: ModelInfo | ServiceError, words: str) -> None:
    found = checked(load(), answer)
    assert not found["key and model"].ok
    assert words in found["key and model"].message
    assert found["source"].ok, "one wrong thing hides no other"


def test_the_source(load: Load) -> None:
    found = checked(load(source={"files": ["pictures/**"]}))
    assert not found["source"].ok
    assert "pictures/**" in found["source"].message


def test_the_limits_say_what_can_never_be_sent(load: Load) -> None:
    # A film of 120 s counts more tokens than this quota allows at a time.
    found = checked(load(batch={"enqueued_tokens": 1200}))
    assert not found["limits"].ok
    assert "1,200" in found["limits"].message


class Forgetful(LocalStorage):
    """A place that lets one name be created twice, as some mounted buckets do."""

    def create(self, uri: str, data: bytes) -> Stat:
        return self.put(uri, data)


def test_a_place_without_exclusive_creation_is_found_out(load: Load) -> None:
    found = checked(load(), storage=Forgetful())
    assert not found["run directory"].ok
    assert "created twice" in found["run directory"].message
