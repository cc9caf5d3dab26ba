# SPDX-License-Identifier: MIT
"""The lab believes a case only if all of it ran: a host that dies, hangs or panics is a failure, whatever was claimed."""

import importlib.machinery
import importlib.util
import os
import sys
import types
import xml.etree.ElementTree as et

import pytest

LAB = os.path.join(os.path.dirname(__file__), '../lab')
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
import initramfs
from case import Case, case_names, load_case
from share import Share, State

loader = importlib.machinery.SourceFileLoader('lab_run', f'{LAB}/run')
run = importlib.util.module_from_spec(importlib.util.spec_from_loader('lab_run', loader))
loader.exec_module(run)

CASE = Case(about='', boots=(), seconds=60)


class FakeMachine:
    """A host that switches itself off after so many looks at it."""

    def __init__(self, looks):
        self.looks = looks

    def running(self):
        self.looks -= 1
        return self.looks >= 0


@pytest.fixture
def runner():
    return run.Runner(types.SimpleNamespace(verbose=False))


@pytest.fixture
def share(tmp_path):
    return Share(str(tmp_path))


def follow(runner, share, looks=1, case=CASE, serial=''):
    path = share.path('serial.log')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(serial)
    return runner.follow('x', case, share, FakeMachine(looks), path)


def claim(share, holds, text='it is so'):
    share.add_line({'kind': 'claim', 'boot': 0, 'holds': holds, 'text': text, 'details': ''})


def test_case_that_came_to_its_end_has_no_trouble(runner, share):
    share.set_state(State(boot=0, over=True))
    claim(share, True)
    assert follow(runner, share) is None
    assert [record['holds'] for _, record in runner.results] == [True]


def test_last_words_of_a_host_are_heard(runner, share):
    share.set_state(State(boot=0, over=True))
    claim(share, False)
    assert follow(runner, share, looks=0) is None
    assert [record['holds'] for _, record in runner.results] == [False]


def test_host_that_goes_away_in_the_middle_is_trouble(runner, share):
    share.set_state(State(boot=0))
    claim(share, True)
    assert 'in the middle' in follow(runner, share)


def test_boot_that_takes_too_long_is_trouble(runner, share):
    share.set_state(State(boot=0))
    assert 'boot 0 had not ended' in follow(runner, share, looks=1000, case=Case(about='', boots=(), seconds=0))


def test_panic_is_trouble_at_once(runner, share):
    share.set_state(State(boot=0))
    assert 'panicked' in follow(runner, share, looks=1000, serial='[ 1.0] ---[ end Kernel panic - not syncing: x ]---\n')


def test_line_that_is_half_written_waits(share):
    claim(share, True)
    with open(share.path('claims.jsonl'), 'a', encoding='utf-8') as f:
        f.write('{"kind": "cl')
    assert len(share.lines()) == 1
    with open(share.path('claims.jsonl'), 'a', encoding='utf-8') as f:
        f.write('aim"}\n')
    assert share.lines(1) == [{'kind': 'claim'}]


def test_record_has_each_claim(runner, share, tmp_path):
    share.set_state(State(boot=0, over=True))
    claim(share, True, 'this')
    claim(share, False, 'that')
    follow(runner, share)
    runner.write_junit(str(tmp_path / 'lab.xml'))
    found = {case.get('name'): case.find('failure') is not None
             for case in et.parse(tmp_path / 'lab.xml').getroot().iter('testcase')}
    assert found == {'this': False, 'that': True}


def test_modules_come_after_those_that_they_need(tmp_path):
    (tmp_path / 'modules.dep').write_text('k/a-b.ko.xz: k/c.ko k/d.ko\nk/c.ko: k/d.ko\nk/d.ko:\n')
    (tmp_path / 'modules.builtin').write_text('k/e.ko\n')
    assert initramfs.modules_in_order(str(tmp_path), ('a_b', 'e')) == ['k/d.ko', 'k/c.ko', 'k/a-b.ko.xz']


def test_module_that_is_not_there_is_an_error(tmp_path):
    (tmp_path / 'modules.dep').write_text('')
    (tmp_path / 'modules.builtin').write_text('')
    with pytest.raises(initramfs.InitramfsError, match='virtio_pci'):
        initramfs.modules_in_order(str(tmp_path), ('virtio_pci',))


def test_every_case_loads_on_the_outside():
    for name in case_names():
        case = load_case(name)
        assert case.about and case.boots and set(case.needs) <= {'product', 'guest'}, name


def test_step_is_told_and_claims_nothing(runner, share, capsys):
    share.set_state(State(boot=0, over=True))
    share.add_line({'kind': 'step', 'boot': 0, 'text': 'first this'})
    share.add_line({'kind': 'step', 'boot': 0, 'text': 'then that'})
    follow(runner, share)
    assert not runner.results
    assert capsys.readouterr().out.split('\n')[1::2] == ['  1. first this', '  2. then that']
