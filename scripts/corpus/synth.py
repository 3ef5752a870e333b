"""Make sounds from numbers: float64 arrays of samples, -1 to 1, one channel."""

import numpy as np

Audio = np.ndarray

# Frequency against the strike note, and strength, of what rings in a bell.
BELL_PARTIALS = ((0.5, 0.4), (1, 1), (1.19, 0.6), (1.5, 0.4), (2, 0.5), (2.74, 0.2))

# A tune of this corpus: (semitones above the tonic, beats).
TUNE = (
    (0, 1), (4, 1), (7, 1), (9, 0.5), (7, 0.5), (4, 1), (2, 1), (0, 2),
    (2, 1), (4, 0.5), (7, 0.5), (12, 1), (9, 1), (7, 1), (4, 1), (0, 2),
)  # fmt: skip


def silence(seconds: float, rate: int) -> Audio:
    """Return samples of nothing."""
    return np.zeros(round(seconds * rate))


def level(sound: Audio, peak: float = 0.5) -> Audio:
    """Scale a sound to a peak and fade both ends over a hundredth of it, so that nothing clicks."""
    fade = max(1, len(sound) // 100)
    ramp = np.linspace(0, 1, fade)
    shaped: Audio = sound * (peak / max(np.abs(sound).max(), 1e-9))
    shaped[:fade] *= ramp
    shaped[-fade:] *= ramp[::-1]
    return shaped


def pluck(hertz: float, seconds: float, rate: int, overtones: tuple[float, ...]) -> Audio:
    """Return a struck tone that dies away; `overtones` are the strengths of its harmonics."""
    t = np.arange(round(seconds * rate)) / rate
    tone = np.zeros(len(t))
    for number, strength in enumerate(overtones):
        tone += strength * np.sin(2 * np.pi * hertz * (number + 1) * t) * np.exp(-t * (2 + number))
    tone *= np.minimum(1, t * 200)
    return tone


def tune(tonic: float, beat: float, rate: int) -> Audio:
    """Return the tune as a music box plays it; `tonic` in hertz, `beat` in seconds."""
    total = sum(beats for _, beats in TUNE) * beat
    sound = silence(total + 2 * beat, rate)
    at = 0.0
    for semitones, beats in TUNE:
        note = pluck(tonic * 2 ** (semitones / 12), 3 * beat, rate, (1, 0.5, 0.2, 0.1))
        _lay(sound, note, round(at * rate))
        at += beats * beat
    return level(sound)


def drums(random: np.random.Generator, beat: float, bars: int, rate: int) -> Audio:
    """Return bars of four beats: bass drum, snare drum, hi-hat on the eighths."""
    sound = silence(bars * 4 * beat + 0.3, rate)
    t = np.arange(round(0.3 * rate)) / rate
    kick = np.sin(2 * np.pi * (45 * t + 5 * (1 - np.exp(-30 * t)))) * np.exp(-12 * t)
    for eighth in range(bars * 8):
        at = round(eighth * beat / 2 * rate)
        hiss = random.normal(0, 1, len(t))
        _lay(sound, 0.12 * np.diff(hiss, prepend=0) * np.exp(-60 * t), at)
        if eighth % 8 in (0, 3, 4):
            _lay(sound, kick, at)
        if eighth % 4 == 2:
            _lay(sound, 0.3 * hiss * np.exp(-22 * t), at)
    return level(sound)


def rain(random: np.random.Generator, seconds: float, rate: int) -> Audio:
    """Return a soft hiss that swells and sinks, with single drops on a sill."""
    count = round(seconds * rate)
    hiss = np.convolve(random.normal(0, 1, count), np.ones(4) / 4, mode="same")
    swell = 1 + 0.4 * np.sin(np.arange(count) / rate * 0.9 + random.uniform(0, 6))
    sound = 0.25 * hiss * swell
    for _ in range(round(seconds * 9)):
        drop = pluck(random.uniform(900, 2600), 0.06, rate, (1, 0.3)) * random.uniform(0.1, 0.6)
        _lay(sound, drop, int(random.integers(count)))
    return level(sound, 0.4)


def sweep(first: float, last: float, seconds: float, rate: int) -> Audio:
    """Return a tone that glides from one frequency to another, in hertz, evenly in octaves."""
    octaves = np.linspace(np.log2(first), np.log2(last), round(seconds * rate))
    return level(np.sin(2 * np.pi * np.cumsum(2**octaves) / rate), 0.35)


def birds(random: np.random.Generator, seconds: float, rate: int) -> Audio:
    """Return a bird that whistles a phrase of quick slides, rests, and whistles it again."""
    phrase = [random.uniform([2200, 2200, 0.07], [4200, 4200, 0.16]) for _ in range(5)]
    sound = silence(seconds, rate)
    at = 0.2
    while at < seconds - 1.4:
        for first, last, length in phrase:
            hertz = np.linspace(first, last, round(length * rate))
            chirp = np.sin(2 * np.pi * np.cumsum(hertz) / rate) * np.hanning(len(hertz))
            _lay(sound, chirp, round(at * rate))
            at += length + 0.05
        at += random.uniform(0.4, 1.0)
    return level(sound, 0.4)


def bells(random: np.random.Generator, strokes: int, rate: int) -> Audio:
    """Return church bells: strokes of three bells in turn, with a bell's uneven overtones."""
    sound = silence(strokes * 0.9 + 3, rate)
    for stroke in range(strokes):
        hertz = (294, 247, 220)[stroke % 3] * random.uniform(0.998, 1.002)
        t = np.arange(round(3 * rate)) / rate
        tone = np.zeros(len(t))
        for partial, strength in BELL_PARTIALS:
            tone += strength * np.sin(2 * np.pi * hertz * partial * t) * np.exp(-t * partial)
        _lay(sound, tone, round(stroke * 0.9 * rate))
    return level(sound)


def train(random: np.random.Generator, seconds: float, rate: int) -> Audio:
    """Return a train at night: wheels over rail joints, and now and then a two-tone whistle."""
    count = round(seconds * rate)
    sound = 0.05 * np.convolve(random.normal(0, 1, count), np.ones(12) / 12, mode="same")
    t = np.arange(round(0.08 * rate)) / rate
    clack = np.sin(2 * np.pi * 170 * t) * np.exp(-45 * t)
    for joint in np.arange(0, seconds - 1, 0.95):
        for wheel in (0, 0.11, 0.38, 0.49):
            _lay(sound, clack * random.uniform(0.5, 0.7), round((joint + wheel) * rate))
    blast = np.arange(round(1.6 * rate)) / rate
    whistle = (np.sin(2 * np.pi * 440 * blast) + np.sin(2 * np.pi * 554 * blast)) * 0.2
    for at in np.arange(12, seconds - 2, 47):
        _lay(sound, whistle * np.hanning(len(blast)), round(at * rate))
    return level(sound, 0.6)


def _lay(sound: Audio, note: Audio, at: int) -> None:
    """Add a note into a sound in place; what would stand past the end is dropped."""
    end = min(len(sound), at + len(note))
    sound[at:end] += note[: end - at]
