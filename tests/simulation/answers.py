"""What a job of the simulated service answers: lines, row errors, bills, and whole answers damaged.

A damaged answer is billed like a good one: whoever asks again pays twice.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from reembed.core.names import parse_wire_key
from simulation.corpus import text_of, tokens_of, vector_json

Draw = Callable[[str, tuple[str, ...]], str]

DAMAGES = ("answer_keyless", "answer_scrambled", "answer_wrong_dimension", "answer_keys_lost")
# More than three lost keys, and more than a hundredth, are structural; fewer are row errors.
_LOST = 4
# With a canary among them: a rotation of fewer lines may put equal contents on each other.
_FEWEST_TO_SCRAMBLE = 3


class Answered(Protocol):
    """What damage asks of a job."""

    display_name: str
    requests: tuple[bytes, ...]
    lines: dict[str, str]


def weigh(requests: Iterable[bytes]) -> Counter[str]:
    """Tokens that the service counts for requests, by modality."""
    weights: Counter[str] = Counter()
    for request in requests:
        weights["image" if b"inlineData" in request else "text"] += tokens_of(text_of(request)[1])
    return weights


def answer_lines(requests: Iterable[bytes], draw: Draw) -> tuple[dict[str, str], Counter[str]]:
    """Answer requests: the lines by key, and what of it is billed."""
    lines: dict[str, str] = {}
    billed: Counter[str] = Counter()
    for request in requests:
        key, text = text_of(request)
        fault = draw("row", ("row_retryable", "row_final", "row_missing"))
        if b"poison" in request:
            fault = "row_final"
        if fault == "row_missing":
            continue
        if fault:
            error = {"code": 14 if fault == "row_retryable" else 3, "message": fault}
            lines[key] = json.dumps({"key": key, "error": error})
            continue
        billed += weigh((request,))
        body = f'{{"embedding":{{"values":{vector_json(text)}}},"tokenCount":"{tokens_of(text)}"}}'
        lines[key] = f'{{"key":"{key}","response":{body}}}'
    return lines, billed


def answered_keys(lines: Iterable[tuple[str, str]]) -> list[tuple[str, int]]:
    """The keys, taken apart, of those lines that carry a vector."""
    parsed = (parse_wire_key(key) for key, line in lines if '"error"' not in line)
    return [key for key in parsed if key is not None]


def draw_damage(job: Answered, draw: Draw) -> str:
    """What is wrong with a whole answer; only what the program can and must see."""
    whole = not any('"error"' in line for line in job.lines.values())
    whole = whole and len(job.lines) == len(job.requests)
    able = ["answer_keyless", "answer_wrong_dimension"] if job.lines and whole else []
    # Only first attempts have canaries, which see that vectors stand under wrong keys.
    if whole and "/0/" in job.display_name and len(job.lines) >= _FEWEST_TO_SCRAMBLE:
        able.append("answer_scrambled")
    if len(job.lines) >= _LOST:
        able.append("answer_keys_lost")
    return draw("answer", tuple(name for name in DAMAGES if name in able))


def shown_lines(lines: Mapping[str, str], damage: str, rng: random.Random) -> list[str]:
    """The lines of an answer as a download shows them: in any order, and damaged."""
    shown = list(lines.values())
    if damage == "answer_keyless":
        shown = [line.replace('"key"', '"kez"', 1) for line in shown]
    elif damage == "answer_wrong_dimension":
        shown = [line.replace('"values":[', '"values":[0.5,', 1) for line in shown]
    elif damage == "answer_keys_lost":
        shown = shown[: len(shown) - max(_LOST, len(shown) // 2)]
    elif damage == "answer_scrambled":
        bodies = [line.split(",", 1)[1] for line in shown]
        rotated = bodies[1:] + bodies[:1]
        shown = [f'{{"key":"{key}",{body}' for key, body in zip(lines, rotated, strict=True)]
    rng.shuffle(shown)
    return shown
