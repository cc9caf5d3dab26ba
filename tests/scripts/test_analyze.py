# SPDX-License-Identifier: MIT
"""What scripts/analyze leaves out, it leaves out by name: of files and functions that there are."""

import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
LISTS = TOP / 'scripts/lib/analyze'


def lines_of(name):
    """(its parts) of each line that is no comment."""
    text = (LISTS / name).read_text(encoding='utf-8')
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith('#')]


def defines(path, function):
    """In this tree a definition begins in the first column, as its closing brace does."""
    text = (TOP / path).read_text(encoding='utf-8')
    return re.search(rf'^(\w[^;{{}}]*[ *])?{function}\([^;{{}}]*\)\n\{{', text, re.MULTILINE)


def test_functions_that_have_a_reason():
    missing = [(path, function) for _, path, *functions in lines_of('coverage.reasons') for function in functions
               if not defines(path, function)]
    assert not missing


def test_files_of_suppressions():
    text = (LISTS / 'scan-build.suppressions').read_text(encoding='utf-8')
    names = [name.replace('\\', '') for name in re.findall(r'^\^(src/[\w/\\.]+):', text, re.MULTILINE)]
    assert names and not [name for name in names if not (TOP / name).is_file()]
