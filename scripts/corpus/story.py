"""Put together the long text: a lighthouse keeper's log, some days told, most of them dealt."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import cycle

import numpy as np

from .prose import HERE, sections
from .seeds import generator

TITLE = "The lamp at Skarvøy"
MONTHS = {
    "October": 31,
    "November": 30,
    "December": 31,
    "January": 31,
    "February": 28,
    "March": 31,
    "April": 12,
}
PLAIN_DAYS_PER_TALE = 4
KINDS = ("calm", "storm", "fog")


class Deck:
    """Sentences dealt in a shuffled order, none twice before all have been dealt."""

    def __init__(self, sentences: list[str], random: np.random.Generator) -> None:
        order = random.permutation(len(sentences))
        self._cards: Iterator[str] = cycle([sentences[index] for index in order])

    def deal(self) -> str:
        """Return the next sentence."""
        return next(self._cards)


def lighthouse(seed: int) -> tuple[str, bytes]:
    """Return (path, bytes) of the log: about four thousand words, longer than one request takes."""
    random = generator(seed, TITLE)
    pools: dict[str, list[str]] = defaultdict(list)
    for heading, text in sections(HERE / "long" / "lighthouse.txt"):
        pools[heading].extend(text.strip().split("\n"))
    tales = pools.pop("tale")
    decks = {name: Deck(pool, random) for name, pool in pools.items()}
    entries = []
    for tale in tales[:-1]:
        entries.append(tale)
        entries.extend(_plain_day(decks, random) for _ in range(PLAIN_DAYS_PER_TALE))
    entries.append(tales[-1])
    return f"texts/{TITLE}.md", "\n".join(_dated(entries)).encode()


def _plain_day(decks: dict[str, Deck], random: np.random.Generator) -> str:
    kind = KINDS[random.integers(len(KINDS))]
    parts = [f"{kind} weather", "work", f"{kind} watch"]
    parts.insert(2, "visitor" if kind == "calm" else "thought")
    if random.random() < 0.5:
        parts.append("thought")
    return " ".join(decks[part].deal() for part in parts)


def _dated(entries: list[str]) -> Iterator[str]:
    """Yield the lines of the log: a title, a heading for each month, a date before each entry."""
    calendar = [(month, day) for month, days in MONTHS.items() for day in range(1, days + 1)]
    yield f"# {TITLE}\n"
    current = ""
    for number, entry in enumerate(entries):
        month, day = calendar[number * (len(calendar) - 1) // (len(entries) - 1)]
        if month != current:
            yield f"## {month}\n"
            current = month
        yield f"**{day} {month}.** {entry}\n"
