# SPDX-License-Identifier: MIT
"""
Draws what the benchmarks have appended to GM_BENCH_JSON: plot.py FILE DIRECTORY

recovery.svg and operations.svg are of the suite scale, allocator.svg of alloc, churn.svg of churn. What FILE has no
results of is left out. A point is a median; the thin line through it goes from the least to the most.
"""

import json
import math
import os
import re
import sys
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 84, 28, 76, 60
INK, GRID, AIM = '#222222', '#dddddd', '#888888'
COLOURS = ('#0072b2', '#d55e00', '#009e73')  # told apart by all eyes
UNITS = {'M': 20, 'G': 30, 'T': 40}


# ---- numbers that can be read ----

def with_unit(value, steps):
    """The number in the largest of the steps, (size, unit), that is not larger than it."""
    size, unit = next((step for step in steps if value >= step[0] * 0.9999), steps[-1])
    return f'{value / size:.3g} {unit}'.strip()


def time_text(ns):
    return with_unit(ns, ((1e9, 's'), (1e6, 'ms'), (1e3, 'µs'), (1, 'ns')))


def count_text(n):
    return with_unit(n, ((1e6, 'million'), (1, ''))) if n >= 1e6 else f'{n:,.0f}'


def size_text(n):
    return with_unit(n, ((2**40, 'TiB'), (2**30, 'GiB')))


def plain_text(n):
    return f'{n:g}'


# ---- SVG ----

class Drawing:
    def __init__(self, title, width=WIDTH, height=HEIGHT):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" font-family="sans-serif" font-size="13">',
            f'<title>{escape(title)}</title>',
            f'<rect width="{width}" height="{height}" fill="white"/>',
        ]
        self.text(width / 2, 24, title, size=16)

    def line(self, x1, y1, x2, y2, colour, width=1.0, dash=''):
        dash = f' stroke-dasharray="{dash}"' if dash else ''
        self.parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"{dash}/>')

    def path(self, points, colour):
        d = 'L'.join(f'{x:.1f} {y:.1f}' for x, y in points)
        self.parts.append(f'<path d="M{d}" stroke="{colour}" stroke-width="2" fill="none"/>')

    def dot(self, x, y, colour):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')

    def bar(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def text(self, x, y, text, anchor='middle', size=13, turned=False):
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ''
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
                          f'fill="{INK}"{turn}>{escape(text)}</text>')

    def save(self, path):
        with open(path, 'w', encoding='utf-8') as f:
            f.write('\n'.join(self.parts) + '\n</svg>\n')


class Axis:
    """From values to places: logarithmic, or linear from 0."""

    def __init__(self, title, text, values, log, ticks=None):
        self.title, self.text, self.log = title, text, log
        if log:
            self.low, self.high = min(values) / 1.15, max(values) * 1.15
            self.ticks = ticks or [m * 10.0**e for e in range(-3, 13) for m in self.multiples()
                                   if self.low <= m * 10.0**e <= self.high]
        else:
            step = self.step(max(values))
            self.low, self.high = 0, step * math.ceil(max(values) / step * 1.0001)
            self.ticks = [step * n for n in range(round(self.high / step) + 1)]

    def multiples(self):
        return (1,) if self.high / self.low > 1000 else (1, 3) if self.high / self.low > 30 else (1, 2, 5)

    @staticmethod
    def step(most):
        decade = 10.0**math.floor(math.log10(most))
        return next(decade * m for m in (0.2, 0.5, 1, 2) if most / (decade * m) <= 6)

    def share(self, value):
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return value / self.high


# ---- the two forms ----

def draw_lines(title, x, y, series, aim=None):
    """series: (name, results by x). The axes are made already."""
    d = Drawing(title)

    def at(vx, vy):
        return (LEFT + x.share(vx) * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y.share(vy) * (HEIGHT - TOP - BOTTOM))

    for tick in y.ticks:
        _, at_y = at(x.high, tick)
        d.line(LEFT, at_y, WIDTH - RIGHT, at_y, GRID)
        d.text(LEFT - 8, at_y + 4, y.text(tick), 'end')
    for tick in x.ticks:
        at_x, at_y = at(tick, y.high)
        d.line(at_x, at_y, at_x, HEIGHT - BOTTOM, GRID)
        d.text(at_x, HEIGHT - BOTTOM + 20, x.text(tick))
    d.line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, INK)
    d.line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, INK)
    d.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, x.title)
    d.text(20, (TOP + HEIGHT - BOTTOM) / 2, y.title, turned=True)
    if aim:
        at_x, at_y = at(x.high, aim)
        d.line(LEFT, at_y, at_x, at_y, AIM, 1.5, '6 4')
        d.text(at_x - 4, at_y - 6, f'aim: {y.text(aim)}', 'end')
    for n, (name, results) in enumerate(series):
        colour = COLOURS[n]
        points = [(*at(vx, r['median']), at(vx, r['min'])[1], at(vx, r['max'])[1]) for vx, r in sorted(results.items())]
        d.path([(px, py) for px, py, _, _ in points], colour)
        for px, py, least, most in points:
            d.line(px, least, px, most, colour)
            d.dot(px, py, colour)
        legend = LEFT + n * (WIDTH - LEFT - RIGHT) / len(series)
        d.line(legend, 50, legend + 24, 50, colour, 3)
        d.text(legend + 30, 54, name, 'start')
    return d


def draw_bars(title, panels):
    """panels: (name, results by what is compared)."""
    d = Drawing(title)
    width = (WIDTH - 40) / len(panels)

    for p, (name, results) in enumerate(panels):
        left, right, bottom = 40 + p * width + 16, 40 + (p + 1) * width - 20, HEIGHT - BOTTOM
        y = Axis(name, plain_text, [r['max'] for r in results.values()], False)

        for tick in y.ticks:
            at_y = bottom - y.share(tick) * (bottom - TOP)
            d.line(left, at_y, right, at_y, GRID)
            d.text(left - 6, at_y + 4, y.text(round(tick, 6)), 'end')
        slot = (right - left) / len(results)
        for n, (label, r) in enumerate(results.items()):
            middle = left + (n + 0.5) * slot
            tall, least, most = (y.share(r[key]) * (bottom - TOP) for key in ('median', 'min', 'max'))

            d.bar(middle - slot * 0.3, bottom - tall, slot * 0.6, tall, COLOURS[n])
            d.line(middle, bottom - least, middle, bottom - most, INK, 1.5)
            d.text(middle, bottom + 18, label, size=12)
        d.line(left, bottom, right, bottom, INK)
        d.text((left + right) / 2, HEIGHT - 16, name)
    return d


# ---- what is drawn ----

def by_number(results, suite, pattern, number):
    """The results whose name matches, by the number in it."""
    found = {}
    for r in results:
        match = r['suite'] == suite and re.fullmatch(pattern, r['name'])
        if match:
            found[number(match[1])] = r
    return found


def thousands(text):
    return int(text) * 1000


def size_of(text):
    number, unit = text.split()
    return int(number) << UNITS[unit[0]]


def values_of(series, keys=('min', 'max')):
    return [r[key] for _, results in series for r in results.values() for key in keys]


def plot_recovery(results):
    series = [(f'left {how}', by_number(results, 'scale', rf'mount of (\d+) thousand files, left {how}', thousands))
              for how in ('in good order', 'by kill -9')]
    if not series[0][1]:
        return None
    x = Axis('files in the pool (logarithmic)', count_text, [v for _, s in series for v in s], True)
    y = Axis('time from start to first answer (log.)', time_text, values_of(series) + [2e9], True)
    return draw_lines('How long a mount takes', x, y, series, aim=2e9)


def rate(r):
    return {'median': 1e9 / r['median'], 'min': 1e9 / r['max'], 'max': 1e9 / r['min']}


def plot_operations(results):
    series = [(name, {n: rate(r) for n, r in
                      by_number(results, 'scale', rf'{name} beside (\d+) thousand files', thousands).items()})
              for name in ('unlink', 'create and close')]
    if not series[0][1]:
        return None
    x = Axis('files in the pool (logarithmic)', count_text, [v for _, s in series for v in s], True)
    y = Axis('operations a second, one client', count_text, values_of(series), False)
    return draw_lines('Operations beside so many files, all on one processor', x, y, series)


def plot_allocator(results):
    series = [(f'{size} at a time',
               by_number(results, 'alloc', rf'release, plan, claim {size} of (\d+ .iB)', size_of))
              for size in ('2 MiB', '256 MiB', '1 GiB')]
    if not series[0][1]:
        return None
    sizes = sorted(series[0][1])
    x = Axis('size of the region (logarithmic)', size_text, sizes, True, ticks=sizes)
    y = Axis('time of one step', time_text, values_of(series) + [1000 / 0.7], False)
    return draw_lines('Allocator: one allocation released, planned and claimed', x, y, series, aim=1000)


def plot_churn(results):
    panels = []
    for what, unit in (('bytes on 1 GiB units', ', %'), ('extents of a file', ''),
                       ('failed of those there was room for', ', %')):
        found = {r['name'].rsplit(', ', 1)[1]: r for r in results
                 if r['suite'] == 'churn' and r['name'].startswith(what)}
        if not found:
            return None
        panels.append((what.replace(' of those there was room for', ' though there was room') + unit, found))
    return draw_bars('A year of VMs that come, grow and go on 2 TiB', panels)


PLOTS = {'recovery': plot_recovery, 'operations': plot_operations, 'allocator': plot_allocator, 'churn': plot_churn}


def main(record, directory):
    with open(record, encoding='utf-8') as lines:
        results = [json.loads(line) for line in lines if line.strip()]
    drawn = {name: plot(results) for name, plot in PLOTS.items()}
    if not any(drawn.values()):
        sys.exit(f'{record} holds nothing that is drawn: it takes results of alloc, churn or scale')
    os.makedirs(directory, exist_ok=True)
    for name, drawing in drawn.items():
        path = os.path.join(directory, f'{name}.svg')
        if drawing:
            drawing.save(path)
        print(path if drawing else f'{name}: no results')


if __name__ == '__main__':
    if len(sys.argv) != 3:
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    main(sys.argv[1], sys.argv[2])
