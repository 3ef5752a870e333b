"""Deal as many short notes as a load test wants from the sentences of the written passages."""

import re
from collections import defaultdict
from collections.abc import Iterator

from .prose import passages
from .seeds import generator

SENTENCES_PER_NOTE = (3, 5)
NOTES_PER_FOLDER = 1000


def notes(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of `count` notes of three to five sentences, each on one subject."""
    random = generator(seed, "notes")
    pools = _sentences_by_subject()
    subjects = sorted(pools)
    low, high = SENTENCES_PER_NOTE
    for number in range(count):
        subject = subjects[number % len(subjects)]
        size = int(random.integers(low, high + 1))
        chosen = random.choice(len(pools[subject]), size=size, replace=False)
        text = " ".join(pools[subject][index] for index in chosen)
        folder = f"texts/notes/{number // NOTES_PER_FOLDER:04}"
        yield (
            f"{folder}/{subject}-{number:06}.txt",
            f"Note {number} on {subject}. {text}\n".encode(),
        )


def _sentences_by_subject() -> dict[str, list[str]]:
    """Return the sentences of the English plain texts, those without markup, by subject."""
    pools: dict[str, list[str]] = defaultdict(list)
    for passage in passages():
        if passage.name.isascii() and passage.name.endswith(".txt"):
            pools[passage.subject].extend(re.split(r"(?<=[.?!]) ", passage.text.strip()))
    return {subject: pool for subject, pool in pools.items() if len(pool) >= SENTENCES_PER_NOTE[1]}
