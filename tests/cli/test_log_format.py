"""Lines of a log: no secret in them, and as JSON the same fields in each."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import pytest

from reembed.cli.log_format import FIELDS, JsonLines, Scrubber, TextLines
from support.servers import environment_set

SECRET = "a secret/with signs"


def record(text: str, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("reembed.test")
    return logger.makeRecord(logger.name, logging.INFO, "", 0, "%s", (text,), None, extra=extra)


def test_a_secret_is_masked_as_it_is_and_as_a_url_has_it() -> None:
    clean = Scrubber(more=[SECRET]).clean
    assert clean(f"to {SECRET}!") == "to ***!"
    assert clean("to a%20secret%2Fwith%20signs!") == "to ***!"


def test_secrets_of_the_environment_are_known_and_short_values_are_none() -> None:
    with environment_set({"SOME_HOOK": "https://chat.example/T0", "GEMINI_API_KEY": "short"}):
        scrubber = Scrubber(["SOME_HOOK"])
    assert scrubber.clean("https://chat.example/T0 short") == "*** short"


def test_every_line_has_every_field() -> None:
    line = orjson.loads(JsonLines(Scrubber()).format(record("words", event="settled")))
    assert set(FIELDS) <= set(line)
    assert (line["severity"], line["message"], line["event"]) == ("INFO", "words", "settled")
    assert line["time"].endswith("Z")
    assert "exception" not in line


def test_a_run_that_was_named_stands_in_later_lines() -> None:
    lines = JsonLines(Scrubber())
    assert orjson.loads(lines.format(record("first")))["run"] == ""
    lines.format(record("second", run="a1b2"))
    assert orjson.loads(lines.format(record("third")))["run"] == "a1b2"


@pytest.mark.parametrize("formatter", [JsonLines, TextLines])
def test_a_traceback_shows_no_secret_either(formatter: type[JsonLines | TextLines]) -> None:
    said = record("it broke")
    try:
        raise ValueError(SECRET)
    except ValueError:
        said.exc_info = sys.exc_info()
    shown = formatter(Scrubber(more=[SECRET])).format(said)
    assert "ValueError" in shown
    assert SECRET not in shown


def test_a_level_between_two_has_the_name_of_the_lower() -> None:
    odd = record("words")
    odd.levelno = 25
    assert orjson.loads(JsonLines(Scrubber()).format(odd))["severity"] == "INFO"
