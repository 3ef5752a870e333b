import io
import json
import resource
from typing import Any

import numpy as np
import pytest
import simdjson

from reembed.providers.gemini.answers import (
    Answer,
    parse_line,
    read_answers,
)
from reembed.providers.lines import MAX_LINE_BYTES
from support.builders import line


def one(document: bytes) -> Answer:
    return parse_line(simdjson.Parser(), document)


def stated(**members: object) -> Answer:
    return one(json.dumps({"key": "k", **members}).encode())


@pytest.mark.parametrize("last", [False, True])
def test_key_and_values_are_read_wherever_the_key_stands(last: bool) -> None:
    answer = one(line("k-1", [0.25, -1, 3e-5], last=last, tokenCount="4"))
    assert answer.key == "k-1"
    assert answer.tokens == 4
    np.testing.assert_array_equal(answer.values, [0.25, -1.0, 3e-5])
    assert answer.values.dtype == np.float64
    assert answer.error is None


def test_values_stay_when_the_parser_goes_on() -> None:
    parser = simdjson.Parser()
    first = parse_line(parser, line("a", [1.0, 2.0]))
    parse_line(parser, line("b", [7.0, 8.0]))
    np.testing.assert_array_equal(first.values, [1.0, 2.0])


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({"tokenCount": 12}, 12),
        ({"tokenCount": "12"}, 12),
        ({"usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 6}}, 5),
        ({"usageMetadata": {"totalTokenCount": "6"}}, 6),
        ({"tokenCount": 3, "usageMetadata": {"promptTokenCount": 5}}, 3),
        ({}, None),
        ({"tokenCount": -1}, None),
        ({"tokenCount": True}, None),
        ({"tokenCount": "many"}, None),
        ({"tokenCount": 10**30}, None),
    ],
)
def test_token_counts_in_every_form(more: dict, tokens: int | None) -> None:
    answer = one(line("k", [1.0], **more))
    assert answer.tokens == tokens
    np.testing.assert_array_equal(answer.values, [1.0])


def test_usage_beside_the_response_is_read_too() -> None:
    document = {"key": "k", "response": {"embedding": {"values": [1.0]}}}
    answer = one(json.dumps({**document, "usageMetadata": {"promptTokenCount": 9}}).encode())
    assert answer.tokens == 9


@pytest.mark.parametrize(
    "members",
    [
        {"error": {"code": 3, "message": "too long"}},
        {"response": {"error": {"code": 3, "message": "too long"}}},
        {"status": {"code": 3, "message": "too long"}},
        {"error": {"code": 400, "message": "too long", "status": "INVALID_ARGUMENT"}},
        {"error": {"status": "INVALID_ARGUMENT", "message": "too long", "details": [{"a": []}]}},
        {"status": {"code": 3, "message": "too long"}, "response": {}},
    ],
)
def test_errors_in_every_form(members: dict) -> None:
    answer = stated(**members)
    assert answer.key == "k"
    assert answer.values is None
    assert answer.error is not None
    assert (answer.error.reason, answer.error.message) == ("invalid_argument", "too long")
    assert answer.error.code == 3


@pytest.mark.parametrize("members", [{"status": {"code": 0}}, {"error": None}, {"status": "OK"}])
def test_a_status_that_says_ok_is_no_error(members: dict) -> None:
    answer = stated(response={"embedding": {"values": [1.0]}}, **members)
    assert answer.error is None
    np.testing.assert_array_equal(answer.values, [1.0])


def test_an_error_beside_a_vector_is_an_error() -> None:
    answer = stated(response={"embedding": {"values": [1.0]}}, error={"code": 13, "message": "x"})
    assert answer.values is None
    assert answer.error is not None
    assert answer.error.reason == "internal"


@pytest.mark.parametrize("members", [{}, {"response": {}}, {"response": None}, {"response": 3}])
def test_neither_vector_nor_error_is_named(members: dict) -> None:
    answer = stated(**members)
    assert answer.error is not None
    assert answer.error.reason == "no_vector"


@pytest.mark.parametrize(
    "values",
    [
        *("[1,null]", "[1,NaN]", "[1,-Infinity]", '[1,"2"]', "[1,true]", "[NaN,true]"),
        *("[1,[2,3]]", "[[]]", "[[1,2,3]]", '[NaN,"2"]', '[1,{"a":2}]', '"abc"', "{}"),
    ],
)
def test_a_value_that_is_no_number_keeps_its_key(values: str) -> None:
    answer = one(b'{"key":"k","response":{"embedding":{"values":%b}}}' % values.encode())
    assert answer.key == "k"
    finite = answer.values is not None and np.isfinite(answer.values).all()
    assert not finite
    assert answer.values is not None or answer.error.reason == "not_finite"


def test_numbers_too_large_for_float64_keep_their_key() -> None:
    huge = one(b'{"key":"k","response":{"embedding":{"values":[1e400,1]}}}')
    assert huge.key == "k"
    assert huge.values is not None
    assert not np.isfinite(huge.values).all()
    long = one(b'{"key":"k","response":{"embedding":{"values":[%b,1]}}}' % (b"9" * 400))
    assert long.error is not None
    assert long.error.reason == "not_finite"


@pytest.mark.parametrize(
    "text",
    [
        *(b"{", b"nonsense", b"[1]", b"3", b'"text"', b"NaN", b'{"key":"k"}x'),
        *(b"\xff\xfe", b'{"key":"\xff"}', b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000),
    ],
)
def test_what_is_not_an_object_is_broken(text: bytes) -> None:
    assert one(text) == Answer(None, broken="not_json")


@pytest.mark.parametrize("key", [None, 5, ["k"], {"k": 1}, True])
def test_a_key_that_is_no_text_is_none(key: object) -> None:
    answer = one(json.dumps({"key": key, "response": {"embedding": {"values": [1]}}}).encode())
    assert answer.key is None
    assert not answer.broken


def test_stray_surrogates_do_not_lose_the_error() -> None:
    answer = one(b'{"key":"k","error":{"code":3,"message":"bad \\ud800 text"}}')
    assert answer.error is not None
    assert answer.error.message == "bad ? text"


def test_long_messages_are_clipped() -> None:
    answer = stated(error={"code": 3, "message": "é" * 9000})
    assert answer.error is not None
    assert answer.error.message == "é" * 500


def test_blank_lines_and_windows_line_ends_are_passed_over() -> None:
    stream = io.BytesIO(b"\n  \r\n" + line("a", [1.0])[:-1] + b"\r\n\n" + line("b", [2.0])[:-1])
    assert [answer.key for answer in read_answers(stream)] == ["a", "b"]


class _Endless(io.RawIOBase):
    """A line of `length` bytes without an end, made as it is read, then a good line."""

    def __init__(self, length: int, after: bytes) -> None:
        self._left, self._after = length, after

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left:
            count = min(self._left, len(buffer))
            buffer[:count] = b"[" * count
            self._left -= count
            return count
        count = min(len(self._after), len(buffer))
        buffer[:count] = self._after[:count]
        self._after = self._after[count:]
        return count


def test_memory_is_bounded_for_an_absurd_line() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    stream = io.BufferedReader(_Endless(1 << 30, b"\n" + line("k", [1.0])), 1 << 20)
    answers = list(read_answers(stream))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert [answer.broken for answer in answers] == ["too_long", ""]
    assert answers[1].key == "k"
    assert grown < 16 * MAX_LINE_BYTES
