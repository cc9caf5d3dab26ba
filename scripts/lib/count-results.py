#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Adds up what the test runners of scripts/test have recorded, names every case that failed or was skipped, and ends
with one line, "N passed, N failed, N skipped". Exit status 1 if a case failed or was skipped without a reason.

A runner's exit status is not believed to be good because its record is: a run that ends badly without a failed case
in its record, that has no record, or whose record is empty, is a failed case itself.

    --meson NAME STATUS DIR     a `meson test` run: DIR/testlog.junit.xml and DIR/testlog.json
    --junit NAME STATUS FILE    a pytest run
    --case NAME STATUS          a command that is one case

STATUS is the runner's exit status.
"""

import argparse
import dataclasses
import json
import os
import sys
import xml.etree.ElementTree as et

PASSED, FAILED, SKIPPED = 'passed', 'failed', 'skipped'


@dataclasses.dataclass
class Case:
    group: str  # the junit classname
    name: str
    outcome: str
    reason: str = ''


def case_from_junit(element):
    case = Case(element.get('classname') or '', ' '.join((element.get('name') or '').split()), PASSED)
    for child in element:
        if child.tag in ('failure', 'error'):
            case.outcome = FAILED
        elif child.tag == 'skipped' and case.outcome != FAILED:
            case.outcome = SKIPPED
            case.reason = child.get('message') or child.text or element.findtext('system-out') or ''
    case.reason = ' '.join(case.reason.split())
    return case


def read_junit(path):
    return [case_from_junit(element) for element in et.parse(path).getroot().iter('testcase')]


def read_meson(directory):
    """
    Meson's junit file has a case for each TAP line; but a test program that timed out, or ended badly after its last
    line, shows in the JSON log alone. A program that printed no line at all has one case, of its own name.
    """
    cases = read_junit(os.path.join(directory, 'testlog.junit.xml'))
    with open(os.path.join(directory, 'testlog.json'), encoding='utf-8') as log:
        programs = [json.loads(line) for line in log if line.strip()]
    for program in programs:
        name, result = program['name'], program['result']
        if result in ('OK', 'SKIP', 'EXPECTEDFAIL'):
            continue
        lines = [case for case in cases if case.group.partition('.')[2] == name]
        whole = [case for case in cases if '.' not in case.group and case.name == name]
        for case in whole:
            case.outcome = FAILED
        if not whole and not any(case.outcome == FAILED for case in lines):
            cases.append(Case(name, f'the program as a whole: {result}', FAILED))
    return cases


def read_run(read, name, status, path):
    """The cases of a run, with one more if the record can't be all of the truth."""
    try:
        cases = read(path)
    except (OSError, et.ParseError, ValueError, KeyError) as e:
        return [Case('', f'{name} left no readable record (exit status {status}): {e}', FAILED)]
    if not cases:
        cases.append(Case('', f'{name} ran no test at all (exit status {status})', FAILED))
    elif status != 0 and not any(case.outcome == FAILED for case in cases):
        cases.append(Case('', f'{name} ended with exit status {status}', FAILED))
    return cases


def report(name, cases):
    count = {outcome: sum(case.outcome == outcome for case in cases) for outcome in (PASSED, FAILED, SKIPPED)}
    print(f'{name}: {count[PASSED]} passed, {count[FAILED]} failed, {count[SKIPPED]} skipped')
    for case in cases:
        title = '.'.join(part for part in (case.group, case.name) if part)
        if case.outcome == FAILED:
            print(f'  FAILED {title}')
        elif case.outcome == SKIPPED:
            print(f'  skipped {title}: {case.reason or "WITHOUT A REASON, which is a failure"}')


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--meson', nargs=3, action='append', default=[], metavar=('NAME', 'STATUS', 'DIR'))
    parser.add_argument('--junit', nargs=3, action='append', default=[], metavar=('NAME', 'STATUS', 'FILE'))
    parser.add_argument('--case', nargs=2, action='append', default=[], metavar=('NAME', 'STATUS'))
    args = parser.parse_args(argv)

    runs = [(name, read_run(read_meson, name, int(status), path)) for name, status, path in args.meson]
    runs += [(name, read_run(read_junit, name, int(status), path)) for name, status, path in args.junit]
    runs += [(name, [Case('', name, FAILED if int(status) else PASSED)]) for name, status in args.case]
    everything = [case for _, cases in runs for case in cases]
    for name, cases in runs:
        report(name, cases)

    passed, failed, skipped = (sum(case.outcome == outcome for case in everything)
                               for outcome in (PASSED, FAILED, SKIPPED))
    unreasoned = any(case.outcome == SKIPPED and not case.reason for case in everything)
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 1 if failed or unreasoned or not everything else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
