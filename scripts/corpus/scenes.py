"""Draw landscapes: a sun over the sea, mountains behind mountains, a night with stars."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .canvas import OVERSAMPLING, SIZE, Colour, disk, finish, gradient, mix

WIDTH, HEIGHT = SIZE[0] * OVERSAMPLING, SIZE[1] * OVERSAMPLING

DUSKS: list[list[Colour]] = [
    [(46, 38, 92), (178, 72, 110), (246, 142, 82), (255, 214, 130)],
    [(28, 44, 98), (120, 76, 140), (232, 110, 92), (255, 190, 110)],
    [(70, 40, 80), (200, 84, 84), (250, 160, 70), (255, 226, 150)],
]
HAZES: list[tuple[Colour, Colour]] = [
    ((168, 192, 214), (24, 52, 62)),
    ((190, 204, 208), (34, 62, 50)),
    ((206, 196, 204), (52, 44, 66)),
]


def sunset(random: np.random.Generator, variant: int) -> Image.Image:
    """Draw a low sun over the sea, with clouds and its glitter on the water."""
    sky = DUSKS[variant % len(DUSKS)]
    horizon = int(HEIGHT * 0.62)
    x, y = WIDTH * random.uniform(0.3, 0.7), horizon - random.uniform(40, 90)
    picture = gradient(sky, (WIDTH, horizon))
    glow = Image.new("RGB", picture.size)
    disk(ImageDraw.Draw(glow), (x, y), 130, (120, 80, 40))
    picture = _add(picture, glow.filter(ImageFilter.GaussianBlur(60)))
    draw = ImageDraw.Draw(picture)
    disk(draw, (x, y), 46, (255, 244, 206))
    _clouds(draw, random, horizon, mix(sky[1], sky[2], 0.35))
    whole = gradient([mix(sky[2], (20, 30, 70), 0.45), (18, 24, 60)], (WIDTH, HEIGHT))
    whole.paste(picture, (0, 0))
    _glitter(ImageDraw.Draw(whole), random, x, horizon)
    return finish(whole)


def _add(picture: Image.Image, light: Image.Image) -> Image.Image:
    total = np.asarray(picture, np.uint16) + np.asarray(light, np.uint16)
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def _clouds(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, foot: int, colour: Colour
) -> None:
    for _ in range(7):
        x, y = random.uniform(-100, WIDTH), random.uniform(0.1, 0.8) * foot
        for puff in range(5):
            left, width = x + puff * random.uniform(20, 50), random.uniform(90, 240)
            draw.ellipse((left, y + puff, left + width, y + puff + 9), fill=colour)


def _glitter(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, horizon: int
) -> None:
    for y in range(horizon + 4, HEIGHT, 7):
        reach = 20 + (y - horizon) * 0.55
        for _ in range(3):
            centre, half = x + random.normal(0, reach / 2), random.uniform(6, reach * 0.4)
            draw.line((centre - half, y, centre + half, y), fill=(255, 222, 160), width=3)


def mountains(random: np.random.Generator, variant: int) -> Image.Image:
    """Draw five ridges that darken toward the viewer under a pale morning sky."""
    far, near = HAZES[variant % len(HAZES)]
    picture = gradient([mix(far, (120, 170, 220), 0.6), (244, 236, 222)], (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(picture)
    disk(draw, (WIDTH * random.uniform(0.2, 0.8), 110), 38, (255, 250, 230))
    for layer in range(5):
        depth = layer / 4
        base = HEIGHT * (0.42 + 0.13 * layer)
        ridge = base - _ridge(random, 120 - 16 * layer)
        fill = mix(far, near, depth)
        points = [(0, HEIGHT), *enumerate(ridge.tolist()), (WIDTH, HEIGHT)]
        draw.polygon(points, fill=fill)
        if layer == 4:
            _firs(draw, random, ridge, mix(near, (0, 0, 0), 0.35))
    return finish(picture)


def _ridge(random: np.random.Generator, height: float) -> np.ndarray:
    """Return the skyline of a ridge: float64 heights in pixels, one a column."""
    x = np.linspace(0, 1, WIDTH)
    line = np.zeros(WIDTH)
    for wave in range(1, 8):
        turns, phase = wave * random.uniform(1.2, 2.2), random.uniform(0, 2 * np.pi)
        line += (1 - np.abs(np.sin(np.pi * turns * x + phase))) / wave
    return line * height


def _firs(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, ridge: np.ndarray, fill: Colour
) -> None:
    for _ in range(60):
        x = int(random.integers(0, WIDTH))
        foot, tall = ridge[x] + random.uniform(20, 120), random.uniform(26, 60)
        for tier in range(3):
            top, half = foot - tall * (1 - tier * 0.25), tall * (0.12 + 0.07 * tier)
            draw.polygon([(x, top), (x - half, top + tall / 2), (x + half, top + tall / 2)], fill)


def night(random: np.random.Generator, variant: int) -> Image.Image:
    """Draw a moon and stars over dark hills, with a lit window in the valley."""
    skies: list[list[Colour]] = [
        [(8, 12, 36), (30, 44, 92), (70, 86, 130)],
        [(10, 8, 30), (40, 34, 84), (96, 76, 120)],
    ]
    picture = gradient(skies[variant % len(skies)], (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(picture)
    for _ in range(260):
        star = random.uniform(0, WIDTH), random.uniform(0, HEIGHT * 0.7)
        disk(draw, star, random.choice([1.2, 1.6, 2.6]), (236, 238, 255))
    x, y = WIDTH * random.uniform(0.2, 0.8), random.uniform(90, 160)
    disk(draw, (x, y), 48, (250, 246, 220))
    for dx, dy, radius in ((-14, -10, 9), (12, 6, 12), (-6, 18, 6)):
        disk(draw, (x + dx, y + dy), radius, (226, 220, 192))
    for layer, fill in enumerate(((22, 30, 60), (12, 18, 38))):
        ridge = HEIGHT * (0.8 + 0.1 * layer) - _ridge(random, 60) * 0.6
        draw.polygon([(0, HEIGHT), *enumerate(ridge.tolist()), (WIDTH, HEIGHT)], fill)
    left, top = WIDTH * random.uniform(0.3, 0.6), HEIGHT * 0.9
    draw.rectangle((left, top, left + 60, top + 40), fill=(30, 22, 28))
    draw.polygon([(left - 8, top), (left + 30, top - 28), (left + 68, top)], (44, 30, 34))
    draw.rectangle((left + 22, top + 10, left + 36, top + 26), fill=(255, 206, 96))
    return finish(picture)
