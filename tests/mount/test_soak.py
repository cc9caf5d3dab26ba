# SPDX-License-Identifier: MIT
"""
The soak (tests/soak): four clients and a model beside them, while everybody is killed at random. GM_SOAK_SECONDS makes
it longer. GM_SEED repeats what each client does, step by step, and who dies after how many operations.
"""

import os
import random
import sys

import pytest

from agent import install_agent
from evidence import BLOCK, grant, make_region

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..'))

# pylint: disable=wrong-import-position
from soak.client import Mismatch
from soak.soak import Soak

SECONDS = 20 if os.environ.get('ASAN_OPTIONS') else 60
seconds = float(os.environ.get('GM_SOAK_SECONDS') or SECONDS)

# What the model must find out when somebody else does it to a client's file: of memory, and with content.
MEDDLING = {
    'name': (lambda memory, content: os.rename(content, content + 'x'), 'is not there'),
    'replaced': (lambda memory, content: (os.rename(content, content + 'x'), put(content, b'bytes')), 'ino: '),
    'mode': (lambda memory, content: os.chmod(memory, 0o123), 'mode: '),
    'owner': (lambda memory, content: os.chown(content, 7, -1), 'uid: '),
    'size': (lambda memory, content: os.truncate(memory, 2 * BLOCK + 8), 'size: '),
    'links': (lambda memory, content: os.link(memory, os.path.dirname(os.path.dirname(memory)) + '/x'), 'links: '),
    'attribute': (lambda memory, content: os.setxattr(memory, 'user.a0', b'other'), 'attributes: '),
    'content': (lambda memory, content: put(content, b'bytez'), 'bytes: '),
    'memory': (lambda memory, content: None, 'memory from '),
}


def put(path, data):
    with open(path, 'wb') as f:
        f.write(data)


@pytest.mark.parametrize('what', MEDDLING)
def test_the_model_notices(make_instance, workdir, make_agent, what):
    instance = make_region(make_instance()).start()
    soak = Soak(instance, install_agent(os.environ['GM_BUILD'], workdir), 1)
    client = soak.clients[0]
    try:
        client.prepare()
        memory, content = instance.path('c0', 'm'), instance.path('c0', 'io', 'c')
        for op in (('create', 'c0/m', 0o600), ('create', 'c0/io/c', 0o600), ('truncate', 'c0/m', 2 * BLOCK),
                   ('write', 'c0/io/c', 0, b'bytes')):
            client.hand.call(*op)
        client.tree.make('c0/m', 'f', 0o600)
        client.tree.make('c0/io/c', 'c', 0o600)
        client.tree.resize(client.tree.find('c0/m'), 2 * BLOCK)
        client.tree.write(client.tree.find('c0/io/c'), 0, b'bytes')
        client.map_file(random.Random(1))
        client.check()
        if what == 'memory':
            agent = make_agent()
            agent('poke', grant(agent, memory), BLOCK, 1)
        function, sentence = MEDDLING[what]
        function(memory, content)
        with pytest.raises(Mismatch, match=sentence):
            client.check()
    finally:
        soak.end()


@pytest.mark.limit(int(900 + 2 * seconds))
def test_random_kills_lose_nothing_acknowledged(make_instance, workdir, seed, figure):
    instance = make_region(make_instance(size='256M'), size='256M').start()
    soak = Soak(instance, install_agent(os.environ['GM_BUILD'], workdir), seed)
    soak.run(seconds)
    figure(soak.report())
