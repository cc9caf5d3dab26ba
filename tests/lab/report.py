# SPDX-License-Identifier: MIT
"""What a case claims, measures and says, in order: printed at once, or all of it when the case has ended."""

import collections
import io

LINES_BEFORE_FAILURE = 100


class Report:
    """Of one case. Who is not verbose is still told what was said before a claim that does not hold."""

    def __init__(self, name, verbose=False, at_once=True):
        self.name = name
        self.claims = []
        self._verbose = verbose
        self._out = None if at_once else io.StringIO()
        self._steps = 0
        self._said = collections.deque(maxlen=LINES_BEFORE_FAILURE)

    def say(self, text):
        print(text, file=self._out, flush=True)

    def end(self):
        """Prints what was kept."""
        if self._out:
            print(self._out.getvalue(), end='', flush=True)
            self._out = None

    def say_words(self):
        """Those that nobody has been told of yet, as far as they were kept."""
        for line in self._said:
            self.say(f'      | {line}')
        self._said.clear()

    def failed(self):
        return [claim for claim in self.claims if not claim['holds']]

    def take(self, record):
        kind = record.get('kind', 'claim')
        if kind == 'claim':
            self._take_claim(record)
        elif kind == 'figure':
            self.say(f'    {record["name"]}: {record["value"]:g} {record["unit"]}')
        elif kind == 'step':
            self._steps += 1
            self.say(f'\n  {self._steps}. {record["text"]}')
        else:
            self._take_words(record['text'].rstrip().split('\n'))

    def _take_claim(self, record):
        self.claims.append(record)
        if record['holds']:
            self.say(f'    ok: {record["text"]}')
            return
        self.say_words()
        self.say(f'    FAIL: {record["text"]}')
        if record['details']:
            self.say('        ' + record['details'].rstrip().replace('\n', '\n        '))

    def _take_words(self, lines):
        if not self._verbose:
            self._said += lines
            return
        for line in lines:
            self.say(f'      | {line}')
