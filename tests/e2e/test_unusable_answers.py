"""An answer that cannot be trusted is kept, and nothing is bought again on suspicion."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.harness import Done, Project, Remote, Silent, emulator, invoke, texts

ITEMS = 40
# One job at a time, so that what is created after the first answer shows.
SETTINGS: dict[str, Any] = {"batch": {"max_requests": 12, "concurrent_jobs": 1}}


@pytest.fixture
def fresh() -> Iterator[Remote]:
    # In order: in a shuffled answer the fault may by chance exchange a canary with its original.
    with emulator(shuffle_results=False) as served:
        yield served


def quarantined(job: Project, done: Done) -> Path:
    """Check how a run ended whose first answer is in question; returns the answer that was kept."""
    assert done.code == 1, done.out + done.err
    assert "cannot be trusted" in done.err
    assert "nothing more is bought until you decide" in done.err
    assert "--accept-repay" in done.err
    [kept] = (job.run_dir / "quarantine").iterdir()
    assert str(kept) in done.err
    return kept


def test_scrambled_answers_stop_the_buying_until_the_price_is_accepted(
    project: Callable[..., Project], fresh: Remote
) -> None:
    fresh.faults({"job": 1, "do": "scramble_keys"})
    job = project(fresh.url, **SETTINGS).write(texts(ITEMS))
    assert quarantined(job, invoke("run", job.config)).read_bytes().count(b"\n") == 12
    for command in ("run", "advance", "submit"):
        quarantined(job, invoke(command, job.config))
    assert len(fresh.jobs()) == 1, "creating has stopped, in later calls too"
    assert invoke("redrive", job.config).code == 2
    assert invoke("status", job.config).code == 75

    tight = invoke("run", job.config, "--accept-repay", "--max-usd", "0.00008")
    assert tight.code == 2
    assert "1 answers cannot be used; buying them again costs up to $0.0000" in tight.err
    assert "and the cap is $0.00008" in tight.err
    assert len(fresh.jobs()) == 1, "refused before anything was on record"
    paid = invoke("advance", job.config, "--accept-repay")
    assert paid.code in (0, 75), paid.err
    assert "1 answers cannot be used; buying them again costs up to $0.0000" in paid.out
    done = invoke("run", job.config)
    assert done.code == 0, done.err
    report = job.results().report
    assert (report["rows"], report["rejects"], report["jobs"]) == (ITEMS, 0, 5)
    billed = sum(found["billed_tokens"] for found in fresh.jobs())
    assert sum(report["tokens"].values()) >= billed, "the unusable answer was paid too"
    late = invoke("run", job.config, "--accept-repay")
    assert late.code == 2
    assert "no answer is in question" in late.err


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ({"do": "no_keys"}, "key"),
        ({"do": "short_row", "dimensions": 100}, "dimension"),
        ({"do": "unknown_key"}, "unknown"),
        ({"do": "drop_rows"}, "missing"),
    ],
    ids=lambda value: value["do"] if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_said_and_the_answer_kept(
    project: Callable[..., Project], fresh: Remote, fault: dict[str, Any], seen: str
) -> None:
    fresh.faults({"job": 1, **fault})
    job = project(fresh.url, **SETTINGS).write(texts(ITEMS))
    done = invoke("run", job.config)
    quarantined(job, done)
    assert seen in done.err
    assert len(fresh.jobs()) == 1


def test_without_a_cap_the_price_must_be_accepted_by_somebody(
    project: Callable[..., Project], fresh: Remote
) -> None:
    fresh.faults({"job": 1, "do": "scramble_keys"}, {"job": 2, "do": "short_row"})
    # No cap anywhere: as if the first price had been accepted on a terminal.
    job = project(fresh.url, budget={"max_usd": None}).write(texts(12))
    from reembed.config.load import load_config
    from reembed.errors import RunFailedError
    from reembed.runs.options import RunOptions
    from reembed.runs.run import run

    with pytest.raises(RunFailedError, match="cannot be trusted"):
        run(load_config(job.config), RunOptions(approve=lambda plan: None), Silent())
    asked = invoke("run", job.config, "--accept-repay")
    assert asked.code == 2
    assert "and no cap is set: --max-usd 0.000" in asked.err
    cap = asked.err.split("--max-usd ")[1].split()[0]
    again = invoke("run", job.config, "--accept-repay", "--max-usd", cap)
    assert again.code == 1, "the second answer is in question anew"
    assert len(fresh.jobs()) == 2
    fresh.faults()
    price = invoke("run", job.config, "--accept-repay", "--max-usd", cap)
    assert price.code == 2, "the cap is over all of the run: it does not buy a third time"
    higher = price.err.split("--max-usd ")[1].split()[0]
    assert invoke("run", job.config, "--accept-repay", "--max-usd", higher).code == 0
    assert job.results().report["rows"] == 12
