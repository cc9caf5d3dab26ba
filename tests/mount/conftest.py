# SPDX-License-Identifier: MIT
"""
What the mount tests share. They run as root and expect in the environment

    GM_PREFIX   the prefix where the programs are installed
    GM_BUILD    the build directory that they come from, for the test client
    GM_SEED     optional: the seed of random tests, as a failed run has printed it

Each test has a time limit, @pytest.mark.limit(SECONDS) if the usual one is too short, and cleans up all processes and
mounts that it has made. With pytest-xdist several are at work at once (-n 2 --dist loadfile): a file's tests stay
together, and share nothing but the machine with those of another.
"""

import os
import random
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../../scripts/lib'))

# pylint: disable=wrong-import-position
from agent import Agent, install_agent
from debugger import HoldAt, KillAt
from harness import ACCOUNTS, PLAIN, ROOT, Instance, Tools
from persona import as_user
from processes import adopt_orphans, kill_children

USUAL_LIMIT = 120  # what takes so long hangs, on a machine that is slow and busy too


def pytest_configure(config):
    config.addinivalue_line('markers', 'limit(seconds): the time limit of a test that needs more than the usual')
    config.addinivalue_line('markers', 'preload: uses the preload library, which has no place beside a sanitizer')
    for name in ('GM_PREFIX', 'GM_BUILD'):
        if not os.environ.get(name):
            raise pytest.UsageError(f'{name} is not set: run scripts/test, or see tests/mount/conftest.py')
    if os.getuid() != 0:
        raise pytest.UsageError('the mount tests run programs as several users: only root can do that')
    if (config.getoption('numprocesses', None) or 0) > len(ACCOUNTS):
        raise pytest.UsageError(f'at most {len(ACCOUNTS)} at once: each needs an account of his own (tests/mount/harness.py)')
    # Who is started in the background by a shell ignores it, and so would whatever a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    adopt_orphans()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """The limit is for set-up, test and clean-up together."""
    marker = item.get_closest_marker('limit')
    seconds = marker.args[0] if marker else USUAL_LIMIT

    def out_of_time(_number, _frame):
        signal.alarm(seconds)  # the clean-up gets as much again
        pytest.fail(f'not done after {seconds} s')

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(seconds)
    yield
    signal.alarm(0)


@pytest.fixture(scope='session')
def tools():
    return Tools(os.path.realpath(os.environ['GM_PREFIX']))


@pytest.fixture
def figure(request):
    """figure(text): what a run has measured is shown at the end of it, also if all is well."""
    return lambda text: request.node.user_properties.append(('figure', text))


def pytest_terminal_summary(terminalreporter):
    """A report comes to the end of the run from wherever its test was run."""
    calls = [report for reports in terminalreporter.stats.values() for report in reports
             if getattr(report, 'when', '') == 'call']
    for report in calls:
        for name, text in report.user_properties:
            if name == 'figure':
                terminalreporter.write_line(f'{report.nodeid.rpartition("::")[2]}: {text}')


@pytest.fixture
def seed(request):
    """For random.Random(seed); printed, so that a failed run can be had again."""
    value = int(os.environ.get('GM_SEED') or random.randrange(1 << 32))
    print(f'GM_SEED={value} for {request.node.name}')
    return value


@pytest.fixture
def workdir():
    """On tmpfs, and open to all users: who may do what is decided further down."""
    path = tempfile.mkdtemp(prefix='guestmemfs-test-', dir='/dev/shm')
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def make_instance(tools, workdir):
    """make_instance(user=PLAIN, size='1G', options=[...]): an Instance that has not been started."""
    made = []

    def make(**arguments):
        made.append(Instance(tools, workdir, **arguments))
        return made[-1]

    yield make
    for instance in made:
        instance.clean_up()
    left_over = not kill_children()
    complaints = [line for instance in made for line in instance.complaints()]
    assert not complaints, f'the daemons have complained: {complaints}'
    assert not left_over, 'processes of this test can not be ended'


@pytest.fixture
def instance(make_instance):
    """One of root, with a region of 64 MiB, that serves."""
    return make_instance().start()


@pytest.fixture(params=[ROOT, PLAIN], ids=['root', 'plain'])
def user(request):
    """For tests that must hold for root's instances and for a plain user's."""
    return request.param


@pytest.fixture
def mounted(make_instance, user):
    """As instance, of root and of a plain user."""
    return make_instance(user=user).start()


@pytest.fixture
def inside(mounted):
    """inside(function, ...): function(mount, ...) as the user whose mount it is."""
    def call(function, *arguments, **keywords):
        return as_user(mounted.user, function, mounted.mount, *arguments, **keywords)

    return call


@pytest.fixture
def make_agent(make_instance, workdir):  # pylint: disable=unused-argument
    """make_agent(user=PLAIN): a client process. Ended before the instances are."""
    made = []
    program = install_agent(os.environ['GM_BUILD'], workdir)

    def make(**arguments):
        made.append(Agent(program, **arguments))
        return made[-1]

    yield make
    for agent in made:
        agent.clean_up()


@pytest.fixture
def kill_at(make_instance):  # pylint: disable=unused-argument
    """kill_at(pid, 'function', count=2): see debugger.KillAt. gdb lets go before the instances are ended."""
    traps = []

    def make(*arguments, **keywords):
        traps.append(KillAt(*arguments, **keywords))
        return traps[-1]

    yield make
    for trap in traps:
        trap.clean_up()


@pytest.fixture
def hold_at(make_instance, workdir):  # pylint: disable=unused-argument
    """hold_at(pid, 'function'): see debugger.HoldAt."""
    traps = []

    def make(pid, function):
        traps.append(HoldAt(pid, function, os.path.join(workdir, f'gate{len(traps)}')))
        return traps[-1]

    yield make
    for trap in traps:
        trap.clean_up()
