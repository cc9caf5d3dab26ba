#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Makes of gcovr's JSON two tables in Markdown: how much of each directory of src the tests reach, and the error paths
that none of them takes, by function.

    coverage.py FILE.json

What is not taken has a reason, by what its line says (REASONS) or by its function (coverage.reasons), and then its function
is named, or is untested, and then it is quoted. An error path is a line that ends a function with an error, or says one:
`return -E...`, `return problem(...)`, an entry of the log above "info". A line that a program does not return from has no
count, and is not listed.
"""

import collections
import json
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[3]
ERROR = re.compile(r'\breturn (-E[A-Z]|-errno|problem|MAP_FAILED)|\blog_(error|warning)\(|= (-E[A-Z]+|-errno);')
# Of a file's name and a line's text, the first that fits: why no test here takes it.
REASONS = (
    (re.compile(r'^src/(counts/|region/(soft|dax|pmem|users)|helper/(device|reuse|takeback|contents|spare|window))'), re.compile(''),
     'device'),
    (re.compile(''), re.compile(r'ENOMEM'), 'memory'),
    (re.compile(''), re.compile(r'\berrno\b'), 'kernel'),
)
BY_FUNCTION = pathlib.Path(__file__).with_suffix('.reasons')
FUNCTION = re.compile(r'^[a-z].*?\b(\w+)\(')  # its first line stands in the first column


def counts_of(file):
    lines = [line for line in file['lines'] if not line.get('gcovr/noncode')]
    branches = [branch for line in lines for branch in line['branches']]
    return collections.Counter(
        lines=len(lines), lines_reached=sum(line['count'] > 0 for line in lines),
        branches=len(branches), branches_reached=sum(branch['count'] > 0 for branch in branches))


def functions_of(text):
    """The function that each line (from 1) belongs to."""
    name, names = '', ['']
    for line in text:
        match = FUNCTION.match(line)
        if match and not line.endswith(';'):
            name = match.group(1)
        names.append(name)
    return names


def paths_of(file):
    """(function, what it does there) of each error path that was not taken."""
    text = (TOP / file['file']).read_text(encoding='utf-8').splitlines()
    names = functions_of(text)
    for line in file['lines']:
        if line['count'] == 0 and not line.get('gcovr/noncode'):
            what = text[line['line_number'] - 1].strip()
            if ERROR.search(what):
                yield names[line['line_number']], what


def percent(part, whole):
    return f'{100 * part / whole:.1f}' if whole else '-'


def print_directories(files):
    directories = collections.defaultdict(collections.Counter)
    for file in files:
        directories[file['file'].rpartition('/')[0]] += counts_of(file)
    directories['all'] = sum(directories.values(), collections.Counter())
    print('| directory | lines | reached, % | branches | taken, % |\n| --- | --: | --: | --: | --: |')
    for name, n in directories.items():
        print(f'| {name} | {n["lines"]} | {percent(n["lines_reached"], n["lines"])} '
              f'| {n["branches"]} | {percent(n["branches_reached"], n["branches"])} |')


def reasons_by_function():
    """{(file, function): reason}"""
    lines = [line.split() for line in BY_FUNCTION.read_text(encoding='utf-8').splitlines()]
    return {(path, function): reason for reason, path, *functions in (line for line in lines if line and line[0] != '#')
            for function in functions}


def reason_of(path, what):
    for of_path, of_line, reason in REASONS:
        if of_path.search(path) and of_line.search(what):
            return reason
    return 'untested'


def print_paths(files):
    print('| file | why not | function |\n| --- | --- | --- |')
    known = reasons_by_function()
    for file in files:
        reasons = collections.defaultdict(dict)
        for function, what in paths_of(file):
            reason = known.get((file['file'], function)) or reason_of(file['file'], what)
            reasons[reason][function + (f': `{what.replace("|", "&#124;")}`' if reason == 'untested' else '')] = True
        for reason, functions in sorted(reasons.items()):
            separator = '<br>' if reason == 'untested' else ', '
            print(f'| {file["file"]} | {reason} | {separator.join(functions)} |')


def main():
    with open(sys.argv[1], encoding='utf-8') as report:
        files = sorted(json.load(report)['files'], key=lambda file: file['file'])
    print_directories(files)
    print()
    print_paths(files)


if __name__ == '__main__':
    main()
