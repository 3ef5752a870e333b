"""Every error survives the way between workers, and shows its message."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from reembed import errors
from reembed.errors import ConfigError, QuotaError, ReembedError

# How those are made that take more than a message.
MADE = {
    "ConfigError": ("model.dimensions", "5", "give 128 to 3072"),
    "RejectError": ("pdf_encrypted", "take the password off"),
    "JobFailedError": ("job j1 failed", "j1", "backendError"),
    "QuotaError": ("too much", 429, 2.5),
    "NotificationError": ("the webhook answers 500", True),
    "OtherVersionError": ("/runs/a", "reembed 0.1", 1),
}


def every_error(above: type[ReembedError] = ReembedError) -> Iterator[type[ReembedError]]:
    yield above
    for below in above.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from every_error(below)


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[ReembedError]) -> None:
    made = kind(*MADE.get(kind.__name__, ("what happened",)))
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(made), made.args, vars(made))


def test_there_are_many() -> None:
    assert len(list(every_error())) > 10


def test_the_tree_of_the_documentation_names_every_error() -> None:
    drawn = errors.__doc__ or ""
    assert [kind.__name__ for kind in every_error() if kind.__name__ not in drawn] == []


def test_an_error_shows_its_message_and_keeps_the_rest() -> None:
    quota = QuotaError("too much", 429, 2.5)
    assert (str(quota), quota.code, quota.retry_after) == ("too much", 429, 2.5)
    assert str(ConfigError("a.b", "5", "give 6")) == "a.b: 5: give 6"
