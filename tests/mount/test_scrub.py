# SPDX-License-Identifier: MIT
"""Scrubbing as an operator sees it: how much is left, how fast it goes; and that nobody waits for its limit."""

import os
import time

import pytest

from persona import make_file

BLOCK = 2 << 20
RATE = 8 << 20
USED = 48 << 20


@pytest.fixture
def slow(make_instance, make_agent):
    """An instance that scrubs slowly, with a file full of bytes that nobody maps any more."""
    instance = make_instance(size='128M', options=[f'--scrub-rate={RATE >> 20}M']).start()
    client = make_agent()
    ident = client('open', make_file(instance.path('old'), USED), 'rw')[0]
    client('attach', ident)
    client('fill', client('map', ident, 0, USED, 'rw')[0], 3)
    client.kill()
    instance.wait_status(lambda s: not s['grants'] and s['blocks']['free_dirty'] == 0)
    return instance


def test_the_background_is_slow_and_says_how_far_it_is(slow, tools):
    """The time has a lower bound alone: nothing is too slow for it."""
    before = slow.status()['scrub']
    assert before['background_limit'] == RATE
    started = time.monotonic()
    os.unlink(slow.path('old'))
    status = slow.wait_status(lambda s: s['scrub']['bytes_per_second'] > 0)
    assert status['blocks']['free_dirty'] < USED // BLOCK
    text = tools.run('guestmemfs', 'status', slow.mount).stdout
    if slow.status()['blocks']['free_dirty']:
        assert ' to go, ' in text and 'at most 8M in the background' in text, text
    status = slow.wait_status(lambda s: s['blocks']['free_dirty'] == 0)
    seconds = time.monotonic() - started
    assert status['scrub']['done_blocks'] - before['done_blocks'] == USED // BLOCK
    assert seconds >= USED / RATE - 1, f'{USED >> 20} MiB in {seconds:.1f} s'


def test_what_a_client_waits_for_is_scrubbed_as_fast_as_it_goes(slow, make_agent):
    os.unlink(slow.path('old'))
    free = slow.status()['blocks']['free']
    client = make_agent()
    ident = client('open', make_file(slow.path('new'), free * BLOCK), 'rw')[0]
    started = time.monotonic()
    client('attach', ident)
    print(f'attached after {time.monotonic() - started:.2f} s; in the background it would have been {USED / RATE:.0f} s')
    client('zero-check', client('map', ident, 0, free * BLOCK, 'r')[0])


def test_scrubbing_goes_on_where_it_was_after_a_restart(slow):
    """What was done is journalled, block by block; and so is what is left."""
    os.unlink(slow.path('old'))
    left = slow.wait_status(lambda s: s['blocks']['free_dirty'] <= USED // BLOCK // 2)['blocks']['free_dirty']
    slow.kill()
    slow.restart()
    status = slow.wait_status(lambda s: s['blocks']['free_dirty'] == 0)
    assert status['scrub']['done_blocks'] <= left, 'what had been scrubbed was scrubbed again'
