"""Name the synthesised sounds and write each in its format."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from . import synth
from .encode import to_sound_file, to_wave
from .seeds import generator

RATE = 16_000
LOW_RATE = 8_000
LONG_SECONDS = 200.0
"""Longer than the 180 s that the model hears at once."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One sound file: its name and how its samples are made from random numbers and a rate."""

    name: str
    play: Callable[[np.random.Generator, int], synth.Audio]
    rate: int = RATE


STUDIO = (
    Recording("melody-1.wav", lambda _, rate: synth.tune(262, 0.4, rate)),
    Recording("melody-2 higher.mp3", lambda _, rate: synth.tune(349, 0.4, rate)),
    Recording("melody-3 slower.flac", lambda _, rate: synth.tune(262, 0.5, rate)),
    Recording("drums #1.wav", lambda random, rate: synth.drums(random, 0.5, 3, rate)),
    Recording("drums #2.ogg", lambda random, rate: synth.drums(random, 0.44, 3, rate)),
    Recording("rain-1.mp3", lambda random, rate: synth.rain(random, 6.5, rate)),
    Recording("rain-2.flac", lambda random, rate: synth.rain(random, 5, rate)),
    Recording("sweep up 100%.wav", lambda _, rate: synth.sweep(110, 3520, 5, rate)),
    Recording("sweep down.ogg", lambda _, rate: synth.sweep(3520, 110, 5, rate)),
    Recording("birds [1].ogg", lambda random, rate: synth.birds(random, 7, rate)),
    Recording("birds [2].wav", lambda random, rate: synth.birds(random, 6, rate)),
    Recording("Vögel am Morgen.mp3", lambda random, rate: synth.birds(random, 8, rate)),
    Recording("bells-1.m4a", lambda random, rate: synth.bells(random, 7, rate)),
    Recording("bells-2.mp3", lambda random, rate: synth.bells(random, 5, rate)),
    Recording(
        "night train, 200 s.mp3",
        lambda random, rate: synth.train(random, LONG_SECONDS, rate),
        LOW_RATE,
    ),
)


def sounds(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of each sound."""
    for entry in STUDIO:
        title, _, kind = entry.name.rpartition(".")
        sound = entry.play(generator(seed, entry.name), entry.rate)
        yield f"sounds/{entry.name}", _encoded(sound, entry.rate, kind, title)


def _encoded(sound: synth.Audio, rate: int, kind: str, title: str) -> bytes:
    return to_wave(sound, rate) if kind == "wav" else to_sound_file(sound, rate, kind, title)
