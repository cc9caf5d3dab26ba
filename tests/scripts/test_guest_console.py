# SPDX-License-Identifier: MIT
"""The console of the demo guest: what is waited for is found exactly once, and trouble is never waited out."""

import os
import sys
import threading

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../../scripts/lib'))

from guest import PATTERN_OK, TICK, Console, GuestError  # pylint: disable=wrong-import-position

BOOT_ID = '0c2a3cd4-0b7f-4b2f-9b46-1f1f6a3f9c11'


def tick(n):
    return f'TICK {n} uptime=1.00 boot_id={BOOT_ID} checked=0..4096\r\n'


@pytest.fixture
def console():
    return Console()


def test_a_line_that_a_save_cut_in_two_is_whole_after_the_resume(console):
    line = tick(7)
    console.feed(line[:20])
    with pytest.raises(GuestError):
        console.wait(TICK, 0, 0, lambda: True)
    console.feed(line[20:])
    assert console.wait(TICK, 0, 0, lambda: True)[0]['n'] == '7'


def test_a_console_that_is_fed_the_partial_line_of_another_goes_on_with_it(console):
    line = tick(7)
    console.feed(tick(6) + line[:20])
    other = Console()
    other.feed(console.partial())
    other.feed(line[20:])
    assert other.wait(TICK, 0, 0, lambda: True)[0]['n'] == '7'


def test_goes_on_after_the_line_that_was_found(console):
    console.feed(tick(1) + tick(2))
    first, place = console.wait(TICK, 0, 0, lambda: True)
    second, place = console.wait(TICK, place, 0, lambda: True)
    assert (first['n'], second['n']) == ('1', '2')
    with pytest.raises(GuestError, match='nothing like that'):
        console.wait(TICK, place, 0, lambda: True)


def test_waits_for_what_comes_later(console):
    later = threading.Timer(0.2, console.feed, [tick(3)])
    later.start()
    assert console.wait(TICK, 0, 10, lambda: True)[0]['n'] == '3'
    later.join()


def test_what_a_guest_said_last_counts_though_it_is_gone(console):
    console.feed(tick(4))
    _, place = console.wait(TICK, 0, 10, lambda: False)
    with pytest.raises(GuestError, match='gone'):
        console.wait(TICK, place, 10, lambda: False)


@pytest.mark.parametrize('line', [
    'PATTERN BAD at=8 is=0000000000000000 should=0123456789abcdef',
    'INIT FAILED mmap of the pattern: Cannot allocate memory',
    '[    5.1] Kernel panic - not syncing: Attempted to kill init!',
])
def test_trouble_ends_the_wait(console, line):
    console.feed(line + '\r\n' + tick(5))
    with pytest.raises(GuestError, match='the guest says'):
        console.wait(TICK, 0, 10, lambda: True)


@pytest.mark.parametrize('line', ['TICK 1', 'xTICK 1 uptime=1.00', 'PATTERN OK bytes= tick=1', 'PATTERN OK bytes=8 tick=1x'])
def test_half_a_line_is_none(console, line):
    console.feed(line + '\r\n')
    for pattern in (TICK, PATTERN_OK):
        with pytest.raises(GuestError):
            console.wait(pattern, 0, 0, lambda: True)
