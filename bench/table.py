# SPDX-License-Identifier: MIT
"""
Renders what the benchmarks have appended to GM_BENCH_JSON as one Markdown table: table.py FILE
"""

import json
import sys

HEAD = ('suite', 'what', 'median', 'least', 'most', 'aim')
NS = ((1e9, 's'), (1e6, 'ms'), (1e3, 'µs'), (1, 'ns'))


def quantity(value, unit):
    """A number that can be read: three digits or so."""
    if unit == 'ns':
        size, unit = next(((s, u) for s, u in NS if abs(value) >= s), NS[-1])
        value /= size
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f'{value:.{digits}f} {unit}'


def cells(result):
    unit = result['unit']
    aim = ''
    if 'aim' in result:
        bound = '≥' if unit == 'GB/s' else '≤'
        aim = f"{bound} {quantity(result['aim'], unit)}: {'met' if result['met'] else '**missed**'}"
    return (result['suite'], result['name'], *(quantity(result[key], unit) for key in ('median', 'min', 'max')), aim)


def main(path):
    with open(path, encoding='utf-8') as lines:
        rows = [cells(json.loads(line)) for line in lines if line.strip()]
    if not rows:
        sys.exit(f'{path} holds no results')
    print('| ' + ' | '.join(HEAD) + ' |')
    print('| --- | --- | ---: | ---: | ---: | --- |')
    for row in rows:
        print('| ' + ' | '.join(row) + ' |')


if len(sys.argv) != 2:
    sys.exit(__doc__.strip())
main(sys.argv[1])
