# SPDX-License-Identifier: MIT
"""The last line of scripts/test says what the runners recorded, and nothing bad gets lost on the way to it."""

import importlib.util
import json
import os

import pytest

TOOL = os.path.join(os.path.dirname(__file__), '../../scripts/lib/count-results.py')
spec = importlib.util.spec_from_file_location('count_results', TOOL)
count_results = importlib.util.module_from_spec(spec)
spec.loader.exec_module(count_results)

GOOD = '<testcase classname="p.alloc" name="1 - a"/>'
BAD = '<testcase classname="p.alloc" name="2 - b"><failure/></testcase>'
ERROR = '<testcase classname="p.alloc" name="3 - c"><error message="x"/></testcase>'
SKIP = '<testcase classname="p.alloc" name="4 - d"><skipped message="needs a moon"/></testcase>'
SKIP_IN_TAP = '<testcase classname="p.alloc" name="5 - e"><skipped/><system-out>no sun</system-out></testcase>'
SKIP_SILENT = '<testcase classname="p.alloc" name="6 - f"><skipped/></testcase>'
SKIP_THEN_ERROR = ('<testcase classname="p.alloc" name="7 - g"><skipped message="x"/><error/></testcase>')


@pytest.fixture
def count(capsys):
    """Runs the tool: its exit status, its last line, and all that it printed."""
    def run(*argv):
        status = count_results.main([str(arg) for arg in argv])
        out = capsys.readouterr().out
        return status, out.splitlines()[-1], out
    return run


def junit(path, *cases):
    path.write_text(f'<testsuites><testsuite name="s">{"".join(cases)}</testsuite></testsuites>')
    return path


def meson(directory, cases, programs):
    junit(directory / 'testlog.junit.xml', *cases)
    (directory / 'testlog.json').write_text(
        ''.join(json.dumps({'name': name, 'result': result}) + '\n' for name, result in programs))
    return directory


@pytest.mark.parametrize('cases, runner, status, line', [
    ([GOOD], 0, 0, '1 passed, 0 failed, 0 skipped'),
    ([GOOD, BAD], 1, 1, '1 passed, 1 failed, 0 skipped'),
    ([GOOD, ERROR], 1, 1, '1 passed, 1 failed, 0 skipped'),
    ([GOOD, SKIP, SKIP_IN_TAP], 0, 0, '1 passed, 0 failed, 2 skipped'),
    ([GOOD, SKIP_SILENT], 0, 1, '1 passed, 0 failed, 1 skipped'),
    ([SKIP_THEN_ERROR], 1, 1, '0 passed, 1 failed, 0 skipped'),
    ([GOOD, BAD], 0, 1, '1 passed, 1 failed, 0 skipped'),
])
def test_counts_the_cases_of_a_junit_file(count, tmp_path, cases, runner, status, line):
    assert count('--junit', 'mount', runner, junit(tmp_path / 'x.xml', *cases))[:2] == (status, line)


def test_a_runner_that_ends_badly_is_a_failed_case_though_its_record_is_good(count, tmp_path):
    status, line, out = count('--junit', 'mount', 2, junit(tmp_path / 'x.xml', GOOD))
    assert (status, line) == (1, '1 passed, 1 failed, 0 skipped')
    assert 'FAILED mount ended with exit status 2' in out


def test_a_run_without_any_case_is_a_failed_case(count, tmp_path):
    assert count('--junit', 'mount', 5, junit(tmp_path / 'x.xml'))[:2] == (1, '0 passed, 1 failed, 0 skipped')


@pytest.mark.parametrize('content', [None, '', '<testsuites><testcase'])
def test_a_missing_or_torn_record_is_a_failed_case(count, tmp_path, content):
    if content is not None:
        (tmp_path / 'x.xml').write_text(content)
    assert count('--junit', 'mount', 0, tmp_path / 'x.xml')[:2] == (1, '0 passed, 1 failed, 0 skipped')


def test_a_meson_run_counts_each_tap_line(count, tmp_path):
    directory = meson(tmp_path, [GOOD, BAD, SKIP_IN_TAP], [('alloc', 'FAIL')])
    assert count('--meson', 'unit', 1, directory)[:2] == (1, '1 passed, 1 failed, 1 skipped')


def test_a_program_that_dies_after_good_tap_lines_is_a_failed_case(count, tmp_path):
    directory = meson(tmp_path, [GOOD, BAD.replace('p.alloc', 'p.store')],
                      [('alloc', 'TIMEOUT'), ('store', 'FAIL')])
    status, line, out = count('--meson', 'unit', 1, directory)
    assert (status, line) == (1, '1 passed, 2 failed, 0 skipped')
    assert 'FAILED alloc.the program as a whole: TIMEOUT' in out


def test_a_program_that_times_out_without_a_tap_line_is_not_counted_as_passed(count, tmp_path):
    directory = meson(tmp_path, ['<testcase classname="p" name="alloc"/>'], [('alloc', 'TIMEOUT')])
    assert count('--meson', 'unit', 1, directory)[:2] == (1, '0 passed, 1 failed, 0 skipped')


def test_a_meson_run_without_its_json_log_is_a_failed_case(count, tmp_path):
    junit(tmp_path / 'testlog.junit.xml', GOOD)
    assert count('--meson', 'unit', 0, tmp_path)[:2] == (1, '0 passed, 1 failed, 0 skipped')


def test_runs_add_up_and_failures_are_named(count, tmp_path):
    (tmp_path / 'm').mkdir()
    directory = meson(tmp_path / 'm', [GOOD], [('alloc', 'OK')])
    status, line, out = count('--meson', 'unit', 0, directory, '--junit', 'mount', 1,
                              junit(tmp_path / 'x.xml', GOOD, BAD), '--case', 'demo', 0, '--case', 'clang', 1)
    assert (status, line) == (1, '3 passed, 2 failed, 0 skipped')
    assert 'FAILED p.alloc.2 - b' in out and 'FAILED clang' in out


def test_nothing_at_all_is_a_failure(count):
    assert count()[:2] == (1, '0 passed, 0 failed, 0 skipped')
