"""Draw flat pictures: bar charts, line charts, maps of islands, shapes on paper."""

import numpy as np
from PIL import Image, ImageDraw

from .canvas import OVERSAMPLING, SIZE, Colour, blank, disk, finish, font, smooth_noise

WIDTH, HEIGHT = SIZE[0] * OVERSAMPLING, SIZE[1] * OVERSAMPLING
BAR_PAPER: Colour = (253, 245, 226)
LINE_PAPER: Colour = (232, 240, 248)
SHAPE_PAPER: Colour = (24, 38, 66)
INK: Colour = (52, 58, 70)
LEFT, RIGHT, TOP, FOOT = 90, WIDTH - 40, 110, HEIGHT - 80
COLOURS: list[Colour] = [(38, 110, 166), (226, 124, 54), (76, 150, 96), (178, 62, 84)]
BAR_CHARTS = (
    ("Loaves baked", ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]),
    ("Honey per hive, kg", ["North", "Lime", "Creek", "Old", "Wall", "Hill"]),
    ("Ships seen from the tower", ["Oct", "Nov", "Dec", "Jan", "Feb", "Mar"]),
)
LINE_CHARTS = ("Temperature of the cellar", "Earthquakes a week")
HEIGHTS: list[tuple[float, Colour]] = [
    (0.00, (120, 172, 208)),
    (0.46, (158, 200, 222)),
    (0.52, (236, 224, 180)),
    (0.55, (178, 202, 134)),
    (0.64, (132, 172, 104)),
    (0.74, (176, 150, 104)),
    (0.84, (236, 232, 226)),
]
ISLANDS = ("Isle of the Lamp", "The Loaf and its Crumbs", "Die Insel, 1 : 25 000")


def bar_chart(random: np.random.Generator, variant: int) -> Image.Image:
    """Draw a bar chart with a title, labels and values."""
    title, labels = BAR_CHARTS[variant % len(BAR_CHARTS)]
    canvas, draw = _frame(title, BAR_PAPER)
    step = (RIGHT - LEFT) / len(labels)
    fill = COLOURS[variant % len(COLOURS)]
    for number, label in enumerate(labels):
        value = random.uniform(0.25, 0.95)
        x, y = LEFT + step * (number + 0.5), FOOT - value * (FOOT - TOP)
        draw.rectangle((x - step * 0.32, y, x + step * 0.32, FOOT), fill=fill)
        draw.text((x, y - 18), f"{value * 40:.0f}", INK, font(24), anchor="mm")
        draw.text((x, FOOT + 26), label, INK, font(26), anchor="mm")
    return finish(canvas)


def line_chart(random: np.random.Generator, variant: int) -> Image.Image:
    """Draw two lines over twelve months, with marks at the points."""
    canvas, draw = _frame(LINE_CHARTS[variant % len(LINE_CHARTS)], LINE_PAPER)
    x = np.linspace(LEFT + 30, RIGHT - 30, 12)
    for series in range(2):
        season = np.sin(np.linspace(0, 2 * np.pi, 12) - 1.4 - variant)
        values = 0.45 + 0.25 * season + 0.12 * series + random.normal(0, 0.04, 12)
        points = list(zip(x, FOOT - values * (FOOT - TOP), strict=True))
        fill = COLOURS[(series + 2 * variant) % len(COLOURS)]
        draw.line(points, fill=fill, width=7, joint="curve")
        for point in points:
            disk(draw, point, 9, fill)
    for place, letter in zip(x, "JFMAMJJASOND", strict=True):
        draw.text((place, FOOT + 26), letter, INK, font(26), anchor="mm")
    return finish(canvas)


def _frame(title: str, paper: Colour) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    canvas = blank(paper)
    draw = ImageDraw.Draw(canvas)
    draw.text((LEFT, 52), title, INK, font(40), anchor="lm")
    for line in range(6):
        y = FOOT - line * (FOOT - TOP) / 5
        draw.line((LEFT, y, RIGHT, y), fill=INK if line == 0 else (214, 212, 206), width=3)
        draw.text((LEFT - 16, y), str(line * 8), INK, font(24), anchor="rm")
    return canvas, draw


def island_map(random: np.random.Generator, variant: int) -> Image.Image:
    """Draw an island coloured by height, with a grid, a scale and its name."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    height = 0.34 + 0.62 * smooth_noise(random, (WIDTH, HEIGHT), 3, octaves=4)
    height -= 0.42 * (x**2 + y**2)
    picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    for floor, colour in HEIGHTS:
        picture[height >= floor] = colour
    picture[height < 0] = HEIGHTS[0][1]
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    for line in range(1, 6):
        draw.line((WIDTH * line / 6, 0, WIDTH * line / 6, HEIGHT), fill=(110, 150, 180))
    for line in range(1, 4):
        draw.line((0, HEIGHT * line / 4, WIDTH, HEIGHT * line / 4), fill=(110, 150, 180))
    draw.text((28, 42), ISLANDS[variant % len(ISLANDS)], INK, font(38), anchor="lm")
    draw.line((WIDTH - 200, HEIGHT - 40, WIDTH - 40, HEIGHT - 40), fill=INK, width=5)
    draw.text((WIDTH - 120, HEIGHT - 62), "2 km", INK, font(26), anchor="mm")
    return finish(canvas)


def shapes(random: np.random.Generator, variant: int) -> Image.Image:
    """Draw circles, squares and triangles scattered over paper; the variant says which lead."""
    canvas = blank(SHAPE_PAPER)
    draw = ImageDraw.Draw(canvas)
    for number in range(26):
        x, y, size = random.uniform(0, WIDTH), random.uniform(0, HEIGHT), random.uniform(24, 90)
        fill = COLOURS[int(random.integers(len(COLOURS)))]
        kind = (variant if number % 3 else number) % 3
        if kind == 0:
            disk(draw, (x, y), size, fill)
        elif kind == 1:
            draw.rectangle((x - size, y - size, x + size, y + size), fill=fill)
        else:
            draw.regular_polygon((x, y, size * 1.2), 3, rotation=number * 20, fill=fill)
    return finish(canvas)
