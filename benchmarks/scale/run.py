"""Print the tables of docs/scale.md."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import tables
from memory_use import weigh
from shape import MIX, TEXT, TIERS, TURNAROUND_HOURS


def main() -> None:
    each = weigh()
    text, mix = (tables.files_a_day(corpus, TIERS[0]) for corpus in (TEXT, MIX))
    for title, content in (
        (f"Shards, and time at a turnaround of {TURNAROUND_HOURS:g} hours", tables.quotas()),
        ("", f"text: {TEXT.name}; mix: {MIX.name}"),
        ("", f"A day through a file storage of 20 GB: text {text:,.0f} chunks, mix {mix:,.0f}"),
        ("", f"Rows of an inline job, which leaves no file: {tables.inline_rows():,}"),
        (f"Objects, {tables.STATED.name}, text", tables.objects()),
        (f"Operations, prices of {tables.PRICES_AS_OF}, to be checked", tables.operations()),
        ("Memory", tables.memory(each)),
        ("", f"bytes of one each: {each}"),
        ("Workers, 100 M texts", tables.workers()),
        ("", tables.planning()),
    ):
        sys.stdout.write(f"## {title}\n\n{content}\n\n" if title else f"{content}\n\n")


if __name__ == "__main__":
    main()
