"""Draw the frames of the films, and make the sounds that go with them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .canvas import OVERSAMPLING, Colour, blank, disk, finish, gradient, mix
from .synth import Audio, level, pluck, silence

SIZE = (320, 240)
SMALL = (192, 144)
WALL: Colour = (236, 240, 244)
MEADOW: Colour = (110, 166, 90)
FLOOR: Colour = (196, 178, 150)
GRAVITY = 900.0
BOUNCE = 0.9
NIGHT: Colour = (12, 16, 44)
SKIES: list[Colour] = [
    NIGHT,
    (236, 142, 96),
    (250, 222, 184),
    (120, 186, 240),
    (120, 186, 240),
    (250, 214, 160),
    (236, 120, 84),
    NIGHT,
]


@dataclass(slots=True)
class Ball:
    """A ball in flight; pixels of the finished film, and seconds."""

    x: float
    y: float
    across: float
    down: float
    radius: float
    colour: Colour


def thrown(random: np.random.Generator, count: int) -> list[Ball]:
    """Return balls at different places, on their way to different sides."""
    colours: list[Colour] = [(214, 64, 58), (44, 110, 180), (240, 176, 48)]
    return [
        Ball(
            x=60 + 90 * number,
            y=random.uniform(40, 80),
            across=random.uniform(60, 110) * (-1) ** number,
            down=0.0,
            radius=random.uniform(14, 20),
            colour=colours[number % len(colours)],
        )
        for number in range(count)
    ]


def fall(ball: Ball, seconds: float, floor: float) -> bool:
    """Move a ball on by one frame; return whether it struck the floor."""
    ball.down += GRAVITY * seconds
    ball.x += ball.across * seconds
    ball.y += ball.down * seconds
    if not ball.radius < ball.x < SIZE[0] - ball.radius:
        ball.x = min(max(ball.x, ball.radius), SIZE[0] - ball.radius)
        ball.across = -ball.across
    if ball.y < floor - ball.radius:
        return False
    ball.y = floor - ball.radius
    # A ball that has come to rest is thrown up again, so that the film does not fall asleep.
    ball.down = -ball.down * BOUNCE if ball.down > 220 else -560.0
    return True


def bouncing(balls: list[Ball], seconds: float, fps: int) -> tuple[list[Image.Image], list[float]]:
    """Return the frames of balls that bounce in a room, and the times at which one struck."""
    floor = SIZE[1] - 40
    frames, strokes = [], []
    for number in range(round(seconds * fps)):
        if any([fall(ball, 1 / fps, floor) for ball in balls]):
            strokes.append(number / fps)
        frames.append(_room(balls, floor))
    return frames, strokes


def _room(balls: list[Ball], floor: int) -> Image.Image:
    canvas = blank(WALL, SIZE)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, floor * OVERSAMPLING, canvas.width, canvas.height), fill=FLOOR)
    for ball in balls:
        x, y, r = (value * OVERSAMPLING for value in (ball.x, ball.y, ball.radius))
        shade = r * (0.5 + 0.5 * ball.y / floor)
        foot = floor * OVERSAMPLING
        draw.ellipse((x - shade, foot - 4, x + shade, foot + 12), fill=mix(FLOOR, (0, 0, 0), 0.3))
        disk(draw, (x, y), r, ball.colour)
        disk(draw, (x - r * 0.35, y - r * 0.35), r * 0.25, mix(ball.colour, (255, 255, 255), 0.6))
    return finish(canvas)


def strokes_heard(times: list[float], hertz: float, seconds: float, rate: int) -> Audio:
    """Return a sound in which a plucked tone marks each of the times."""
    sound = silence(seconds, rate)
    note = pluck(hertz, 0.4, rate, (1, 0.4, 0.2))
    for time in times:
        at = round(time * rate)
        sound[at : at + len(note)] += note[: len(sound) - at]
    return level(sound)


def day(seconds: float, fps: int) -> Iterator[Image.Image]:
    """Yield the frames of a day: the sun rises, crosses the sky and sets behind a house."""
    count = round(seconds * fps)
    for number in range(count):
        hour = number / count
        yield finish(_landscape(hour))


def _landscape(hour: float) -> Image.Image:
    place = hour * (len(SKIES) - 1)
    low = min(int(place), len(SKIES) - 2)
    sky = mix(SKIES[low], SKIES[low + 1], place - low)
    width, height = SMALL[0] * OVERSAMPLING, SMALL[1] * OVERSAMPLING
    canvas = gradient([mix(sky, (10, 20, 60), 0.3), sky], (width, height))
    draw = ImageDraw.Draw(canvas)
    angle = np.pi * (1.25 - 1.5 * hour)
    sun = width / 2 + np.cos(angle) * width * 0.42, height * 0.75 - np.sin(angle) * height * 0.6
    disk(draw, sun, 20, (255, 236, 160))
    light = max(0.15, float(np.sin(np.pi * hour)))
    draw.ellipse((-80, height * 0.68, width * 0.7, height * 1.5), _lit((84, 140, 76), light))
    draw.ellipse((width * 0.3, height * 0.74, width * 1.3, height * 1.5), _lit(MEADOW, light))
    _house(draw, width * 0.62, height * 0.62, light)
    return canvas


def _lit(colour: Colour, light: float) -> Colour:
    return mix((0, 0, 0), colour, light)


def _house(draw: ImageDraw.ImageDraw, left: float, top: float, light: float) -> None:
    draw.rectangle((left, top, left + 56, top + 44), fill=_lit((226, 214, 196), light))
    roof = [(left - 8, top), (left + 28, top - 30), (left + 64, top)]
    draw.polygon(roof, fill=_lit((170, 70, 60), light))
    window = (255, 214, 110) if light < 0.4 else (120, 150, 170)
    draw.rectangle((left + 18, top + 12, left + 34, top + 28), fill=window)


def windmill(seconds: float, fps: int) -> Iterator[Image.Image]:
    """Yield the frames of a windmill that turns in front of moving clouds."""
    for number in range(round(seconds * fps)):
        canvas = gradient([(120, 178, 226), (226, 238, 244)], (640, 480))
        draw = ImageDraw.Draw(canvas)
        for cloud in range(3):
            x = (cloud * 260 + number * 2) % 800 - 140
            for puff in range(3):
                disk(draw, (x + 34 * puff, 90 + 50 * cloud - 12 * (puff % 2)), 28, (252, 252, 252))
        draw.rectangle((0, 400, 640, 480), fill=(126, 170, 96))
        draw.polygon([(270, 420), (290, 220), (350, 220), (370, 420)], (188, 160, 130))
        draw.polygon([(282, 222), (320, 180), (358, 222)], (120, 66, 56))
        for wing in range(4):
            _wing(draw, 2 * np.pi * (wing / 4 + number / fps / 5))
        disk(draw, (320, 225), 12, (60, 44, 38))
        yield finish(canvas)


def _wing(draw: ImageDraw.ImageDraw, angle: float) -> None:
    hub = np.array([320, 225])
    along = np.array([np.cos(angle), np.sin(angle)])
    beside = np.array([-np.sin(angle), np.cos(angle)])
    corners = (30, 0), (165, 0), (165, 34), (30, 26)
    draw.polygon([tuple(hub + along * a + beside * b) for a, b in corners], (248, 244, 232))
    draw.line([tuple(hub), tuple(hub + along * 168)], (84, 62, 48), 7)


def pendulum(seconds: float, fps: int) -> Iterator[Image.Image]:
    """Yield the frames of a clock whose pendulum swings once in two seconds."""
    for number in range(round(seconds * fps)):
        time = number / fps
        canvas = blank((226, 214, 196), SIZE)
        draw = ImageDraw.Draw(canvas)
        draw.rounded_rectangle((220, 20, 420, 460), 24, (104, 66, 44))
        draw.rectangle((240, 220, 400, 440), fill=(64, 38, 26))
        angle = 0.32 * np.sin(np.pi * time)
        bob = 320 + 180 * np.sin(angle), 220 + 180 * np.cos(angle)
        draw.line([(320, 220), bob], (210, 186, 120), 6)
        disk(draw, bob, 26, (226, 190, 96))
        disk(draw, (320, 120), 82, (250, 246, 232))
        for turns, length, width in ((time / 60 + 0.17, 66, 4), (0.64, 56, 7), (0.84, 38, 9)):
            turn = 2 * np.pi * turns
            hand = 320 + length * np.sin(turn), 120 - length * np.cos(turn)
            draw.line([(320, 120), hand], (40, 34, 34), width)
        yield finish(canvas)
