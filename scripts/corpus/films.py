"""Name the rendered films and write each in its container and codec."""

from collections.abc import Iterator

import numpy as np

from . import animation
from .encode import FilmFormat, to_film
from .seeds import generator
from .synth import rain

FPS = 24
SLOW_FPS = 4
LONG_SECONDS = 150.0
"""Longer than the 120 s that the model sees at once."""

X264 = {"preset": "veryfast", "crf": "28", "threads": "1"}
MP4 = FilmFormat("mp4", "libx264", FPS, X264, "aac")
SILENT_MOV = FilmFormat("mov", "libx264", FPS, X264)
# A key frame every four seconds lets the film be cut without being encoded again.
LONG_MP4 = FilmFormat("mp4", "libx264", SLOW_FPS, {**X264, "g": "16", "keyint_min": "16"})
VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "40", "b": "0", "threads": "1"}
WEBM = FilmFormat("webm", "libvpx-vp9", FPS, VP9, "libopus")
MKV = FilmFormat("matroska", "libx264", FPS, X264, "flac")


def films(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (path, bytes) of each film."""
    yield "films/bouncing ball.mp4", _bouncing_ball(generator(seed, "ball"))
    yield "films/two balls, silent.mov", _two_balls(generator(seed, "balls"))
    day = animation.day(LONG_SECONDS, SLOW_FPS)
    yield "films/a day in 150 seconds.mp4", to_film(day, LONG_MP4, None)
    yield "films/Windmühle #1.webm", _windmill(generator(seed, "windmill"))
    yield "films/clock [pendulum].mkv", _clock()


def _bouncing_ball(random: np.random.Generator) -> bytes:
    frames, strokes = animation.bouncing(animation.thrown(random, 1), 12, FPS)
    sound = animation.strokes_heard(strokes, 196, 12, MP4.sound_rate)
    return to_film(iter(frames), MP4, sound)


def _two_balls(random: np.random.Generator) -> bytes:
    frames, _ = animation.bouncing(animation.thrown(random, 2), 8, FPS)
    return to_film(iter(frames), SILENT_MOV, None)


def _windmill(random: np.random.Generator) -> bytes:
    sound = rain(random, 6, WEBM.sound_rate) * 0.3
    return to_film(animation.windmill(6, FPS), WEBM, sound)


def _clock() -> bytes:
    ticks = [float(second) for second in range(6)]
    sound = animation.strokes_heard(ticks, 1200, 6, MKV.sound_rate)
    return to_film(animation.pendulum(6, FPS), MKV, sound)
