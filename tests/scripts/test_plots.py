# SPDX-License-Identifier: MIT
"""bench/plot.py draws what is in a record of the benchmarks, and says what is not."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

TOOL = os.path.join(os.path.dirname(__file__), '../../bench/plot.py')
SVG = '{http://www.w3.org/2000/svg}'


def result(suite, name, median, unit='ns'):
    return {'suite': suite, 'name': name, 'unit': unit, 'median': median, 'min': median * 0.9, 'max': median * 1.2}


SCALE = [result('scale', name % files, ns) for files, ns in ((10, 2e7), (1000, 2e9)) for name in (
    'mount of %u thousand files, left in good order', 'mount of %u thousand files, left by kill -9',
    'create and close beside %u thousand files', 'unlink beside %u thousand files')]
ALLOC = [result('alloc', f'release, plan, claim {size} of {pool}', 200)
         for size in ('2 MiB', '256 MiB', '1 GiB') for pool in ('1 GiB', '64 TiB')]
CHURN = [result('churn', f'{what}, {who}', 2, unit) for who in ('ours', 'first fit', 'next fit') for what, unit in (
    ('bytes on 1 GiB units', '%'), ('extents of a file', ''), ('failed of those there was room for', '%'))]
STORE = [result('store', 'journal record (setattr)', 100)]


@pytest.fixture
def plot(tmp_path):
    def run(results):
        record = tmp_path / 'record'
        record.write_text(''.join(json.dumps(r) + '\n' for r in results))
        return subprocess.run([sys.executable, '-B', TOOL, record, tmp_path / 'plots'], capture_output=True, text=True)
    run.directory = tmp_path / 'plots'
    return run


def texts(path):
    return [t.text for t in ET.parse(path).iter(SVG + 'text')]


@pytest.mark.parametrize('name, points, words', [
    ('recovery', 4, ['files in the pool (logarithmic)', '1 million', 'aim: 2 s', 'left by kill -9']),
    ('operations', 4, ['files in the pool (logarithmic)', 'operations a second, one client', 'unlink']),
    ('allocator', 6, ['size of the region (logarithmic)', '64 TiB', 'aim: 1 µs', '1 GiB at a time']),
])
def test_each_result_is_a_point_of_its_plot(plot, name, points, words):
    assert plot(SCALE + ALLOC + CHURN + STORE).returncode == 0
    path = plot.directory / f'{name}.svg'
    assert len(list(ET.parse(path).iter(SVG + 'circle'))) == points
    assert set(words) <= set(texts(path))


def test_what_is_compared_stands_side_by_side(plot):
    assert plot(CHURN).returncode == 0
    path = plot.directory / 'churn.svg'
    assert len(list(ET.parse(path).iter(SVG + 'rect'))) == 1 + 9  # the background, and the bars
    assert texts(path).count('first fit') == 3


def test_a_larger_value_is_drawn_higher(plot):
    assert plot(SCALE).returncode == 0
    heights = [float(c.get('cy')) for c in ET.parse(plot.directory / 'recovery.svg').iter(SVG + 'circle')]
    assert heights[0] > heights[1] and heights[2] > heights[3]


def test_a_plot_needs_nothing_from_elsewhere(plot):
    assert plot(SCALE + ALLOC + CHURN).returncode == 0
    for path in plot.directory.iterdir():
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', '')
        assert not any(word in text for word in ('http', 'href', 'url(', '<script', '@import')), path


def test_plots_without_results_are_named_and_not_written(plot):
    run = plot(ALLOC + STORE)
    assert run.returncode == 0 and 'recovery: no results' in run.stdout and 'churn: no results' in run.stdout
    assert [path.name for path in plot.directory.iterdir()] == ['allocator.svg']


def test_a_record_of_nothing_that_is_drawn_is_refused(plot):
    run = plot(STORE)
    assert run.returncode == 1 and 'holds nothing that is drawn' in run.stderr
    assert not plot.directory.exists()


def test_wrong_usage_is_2():
    run = subprocess.run([sys.executable, '-B', TOOL], capture_output=True, text=True)
    assert run.returncode == 2 and 'plot.py FILE DIRECTORY' in run.stderr
