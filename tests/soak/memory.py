# SPDX-License-Identifier: MIT
"""
What must be in the memory of a file: runs of patterns. Where somebody died in the middle of a change, each word may be
that of before or that of after, so a run has a set of values.
"""

ZERO = 'zero'  # as the agent calls it; other values are seeds of patterns
WORD = 8       # everything begins and ends at multiples of it


class Memory:
    """Runs (start, end, values) without gaps from 0 to the size."""

    def __init__(self):
        self.size = 0
        self.runs = []

    def resize(self, size):
        """What is new reads zero, also what was there before it shrank."""
        if size < self.size:
            self.runs = list(self.parts(0, size))
        elif size > self.size:
            self.runs.append((self.size, size, frozenset([ZERO])))
        self.size = size

    def parts(self, start, end):
        """The runs between, cut at both."""
        for a, b, values in self.runs:
            if a < end and b > start:
                yield max(a, start), min(b, end), values

    def _replace(self, start, end, change):
        """change(values): the new ones."""
        end = min(end, self.size)
        middle = [(a, b, change(values)) for a, b, values in self.parts(start, end)]
        self.runs = self._merged([*self.parts(0, start), *middle, *self.parts(max(start, end), self.size)])

    @staticmethod
    def _merged(runs):
        merged = []
        for run in runs:
            if merged and merged[-1][2] == run[2]:
                merged[-1] = (merged[-1][0], run[1], run[2])
            else:
                merged.append(run)
        return merged

    def set(self, start, end, value):
        self._replace(start, end, lambda _: frozenset([value]))

    def may_be(self, start, end, value):
        """A change to that value may have been made, word by word."""
        self._replace(start, end, lambda values: values | {value})
