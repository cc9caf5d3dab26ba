# SPDX-License-Identifier: MIT
"""The lab believes a case only if all of it ran: a host that dies, hangs or panics is a failure, whatever was claimed."""

import importlib.machinery
import importlib.util
import lzma
import os
import struct
import sys
import types
import xml.etree.ElementTree as et

import pytest

LAB = os.path.join(os.path.dirname(__file__), '../lab')
sys.path.insert(0, LAB)

# pylint: disable=wrong-import-position
import initramfs
from case import Case, case_names, load_case
from report import LINES_BEFORE_FAILURE, Report
from share import Share, State
from vmlinux import ENTRIES, for_direct_boot

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
def report():
    return Report('x')


@pytest.fixture
def share(tmp_path):
    return Share(str(tmp_path))


def follow(report, share, looks=1, case=CASE, serial=''):
    """What is wrong with how it ended."""
    path = share.path('serial.log')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(serial)
    following = run.follow(case, share, FakeMachine(looks), path, report)
    while True:
        try:
            next(following)
        except StopIteration as e:
            return e.value


def claim(share, holds, text='it is so'):
    share.add_line({'kind': 'claim', 'boot': 0, 'holds': holds, 'text': text, 'details': ''})


def test_case_that_came_to_its_end_has_no_trouble(report, share):
    share.set_state(State(boot=0, over=True))
    claim(share, True)
    assert follow(report, share) is None
    assert [claim['holds'] for claim in report.claims] == [True]


def test_last_words_of_a_host_are_heard(report, share):
    share.set_state(State(boot=0, over=True))
    claim(share, False)
    assert follow(report, share, looks=0) is None
    assert [claim['holds'] for claim in report.claims] == [False]


def test_host_that_goes_away_in_the_middle_is_trouble(report, share):
    share.set_state(State(boot=0))
    claim(share, True)
    assert 'in the middle' in follow(report, share)


def test_boot_that_takes_too_long_is_trouble(report, share):
    share.set_state(State(boot=0))
    assert 'boot 0 had not ended' in follow(report, share, looks=1000, case=Case(about='', boots=(), seconds=0))


def test_panic_is_trouble_at_once(report, share):
    share.set_state(State(boot=0))
    assert 'panicked' in follow(report, share, looks=1000, serial='[ 1.0] ---[ end Kernel panic - not syncing: x ]---\n')


def test_line_that_is_half_written_waits(share):
    claim(share, True)
    with open(share.path('claims.jsonl'), 'a', encoding='utf-8') as f:
        f.write('{"kind": "cl')
    assert len(share.lines()) == 1
    with open(share.path('claims.jsonl'), 'a', encoding='utf-8') as f:
        f.write('aim"}\n')
    assert share.lines(1) == [{'kind': 'claim'}]


def test_record_has_each_claim(report, share, tmp_path):
    share.set_state(State(boot=0, over=True))
    claim(share, True, 'this')
    claim(share, False, 'that')
    follow(report, share)
    runner = run.Runner(None)
    runner.reports.append(report)
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


def test_step_is_told_and_claims_nothing(report, share, capsys):
    share.set_state(State(boot=0, over=True))
    share.add_line({'kind': 'step', 'boot': 0, 'text': 'first this'})
    share.add_line({'kind': 'step', 'boot': 0, 'text': 'then that'})
    follow(report, share)
    assert not report.claims
    assert capsys.readouterr().out.split('\n')[1::2] == ['  1. first this', '  2. then that']


def test_failure_comes_with_what_was_said_before_it(report, share, capsys):
    share.set_state(State(boot=0, over=True))
    share.add_line({'kind': 'note', 'boot': 0, 'text': '$ true\n' + 'word\n' * LINES_BEFORE_FAILURE})
    claim(share, True)
    assert follow(report, share) is None and 'word' not in capsys.readouterr().out
    claim(share, False)
    claim(share, False)
    follow(report, share)
    told = capsys.readouterr().out
    assert told.count('| word\n') == LINES_BEFORE_FAILURE and '$ true' not in told
    assert told.index('| word\n') < told.index('FAIL: it is so')


class Hosts(run.Runner):
    """Instead of hosts: each says something, takes its time, and goes on."""

    def __init__(self, looks):
        super().__init__(types.SimpleNamespace(verbose=False, prefix='there', guest='there'))
        self.looks = dict(looks)
        self.at_once = set()
        self.most = 0

    def run_host(self, name, case, report):
        self.at_once.add(name)
        self.most = max(self.most, len(self.at_once))
        try:
            for n in range(self.looks[name]):
                report.take({'holds': True, 'text': f'{name} {n}', 'details': ''})
                yield
        finally:
            self.at_once.remove(name)


@pytest.fixture
def no_cases(monkeypatch):
    monkeypatch.setattr(run, 'LOOK_SECONDS', 0)
    monkeypatch.setattr(run, 'load_case', lambda name: Case(about=f'about {name}', boots=()))


def test_several_hosts_run_at_once_and_each_is_told_of_in_one_piece(no_cases, capsys):
    hosts = Hosts({'a': 50, 'b': 2, 'c': 2, 'd': 0})
    hosts.run_cases('abcd', 2)
    assert hosts.most == 2 and [report.name for report in hosts.reports] == list('abcd')
    told = capsys.readouterr().out.splitlines()
    pieces = {name: [f'==> {name}: about {name}', *(f'    ok: {name} {n}' for n in range(looks))]
              for name, looks in hosts.looks.items()}
    assert told == [*pieces['b'], *pieces['c'], *pieces['d'], *pieces['a']]


def test_one_host_is_told_of_at_once(no_cases, capsys):
    hosts = Hosts({'a': 3})
    running = hosts.run_case('a', run.load_case('a'))
    next(running)
    assert capsys.readouterr().out.splitlines() == ['==> a: about a', '    ok: a 0']
    running.close()
    assert not hosts.at_once


def test_what_ends_one_host_early_ends_all_and_what_they_said_is_told(no_cases, capsys, monkeypatch):
    hosts = Hosts({'a': 1000, 'b': 1000})
    looks = iter(range(10))

    def look(_):
        if next(looks) == 9:
            raise run.Interrupted('SIGTERM')

    monkeypatch.setattr(run.time, 'sleep', look)
    with pytest.raises(run.Interrupted):
        hosts.run_cases('ab', 2)
    assert hosts.most == 2 and not hosts.at_once
    told = capsys.readouterr().out
    assert '    ok: a 9\n' in told and '    ok: b 9\n' in told


def test_two_hosts_at_once_have_a_directory_each(capsys):
    with pytest.raises(SystemExit) as e:
        run.parse(['--jobs', '2', '--kernel', 'vmlinuz-x', 'hello', 'hello'])
    assert e.value.code == 2 and 'each case can run once' in capsys.readouterr().err


def bzimage(tmp_path, packed, sectors=2):
    """A file laid out as Documentation/arch/x86/boot.rst says, with no code in it."""
    image = bytearray((sectors + 1) * 512) + bytes(100) + packed + bytes(50)
    image[0x1f1] = sectors
    image[0x202:0x206] = b'HdrS'
    struct.pack_into('<II', image, 0x248, 100, len(packed))
    path = tmp_path / 'vmlinuz'
    path.write_bytes(image)
    return str(path)


def test_kernel_packed_with_xz_is_booted_unpacked(tmp_path):
    elf = b'\x7fELF' + bytes(1000) + ENTRIES[0] + bytes(1000)
    kernel = bzimage(tmp_path, lzma.compress(elf) + struct.pack('<I', len(elf)))
    for _ in range(2):  # the second time it is there
        with open(for_direct_boot(kernel, str(tmp_path)), 'rb') as f:
            assert f.read() == elf
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize('packed', [lzma.compress(b'\x7fELF, but no way in'), lzma.compress(ENTRIES[0] + bytes(9999))[:-20],
                                    b'\x28\xb5\x2f\xfd, which is zstd', b''],
                         ids=['no note', 'cut', 'not xz', 'nothing'])
def test_kernel_that_can_not_be_entered_so_is_booted_as_it_is(tmp_path, packed):
    kernel = bzimage(tmp_path, packed)
    assert for_direct_boot(kernel, str(tmp_path)) == kernel
    assert len(list(tmp_path.iterdir())) == 1


def test_file_that_is_no_bzimage_is_booted_as_it_is(tmp_path):
    kernel = tmp_path / 'vmlinux'
    kernel.write_bytes(b'\x7fELF')
    assert for_direct_boot(str(kernel), str(tmp_path)) == str(kernel)
