# SPDX-License-Identifier: MIT
"""
PID 1 of the lab host once its root is there, or a service of the systemd that is: runs this boot's step of the case, or
a shell, and switches off.
"""

import os
import subprocess
import sys
import traceback

from case import load_case
from lab import ClaimFailed, Lab
from share import Share

SHARE = '/lab'
KEXEC_LOADER = 0xD  # Documentation/x86/boot.rst, type_of_loader


def came_by_kexec():
    with open('/proc/sys/kernel/bootloader_type', encoding='ascii') as f:
        return int(f.read()) >> 4 == KEXEC_LOADER


def begin_boot(share):
    """Counts this boot, and says what is wrong with its having come at all."""
    state = share.state()
    expected, state.next_by = state.next_by, ''
    state.boot += 1
    share.set_state(state)
    came = 'kexec' if came_by_kexec() else 'firmware'
    if not expected:
        return f'the lab host came up once more by itself ({came})'
    if came != ('kexec' if expected == 'panic' else expected):
        return f'this boot was to come by {expected}, but came by {came}'
    return None


def run_step(share, plan):
    case = load_case(plan['case'])
    trouble = begin_boot(share)
    boot = share.state().boot
    lab = Lab(share, plan, boot)
    try:
        if trouble:
            lab.claim(False, trouble)
        if boot >= len(case.boots):
            lab.claim(False, f'there are {len(case.boots)} boots and no more')
        lab.load_modules(case.modules)
        case.boots[boot](lab)
        lab.check_kernel_log()
        lab.claim(boot == len(case.boots) - 1, f'boot {boot} ended as it should')
    except ClaimFailed:
        pass
    except BaseException:  # pylint: disable=broad-exception-caught # whatever it is, outside they must read of it
        lab.check(False, f'boot {boot} went through', traceback.format_exc())
    lab.clean_up()
    lab.save_kernel_log()


def run_shell(plan):
    print(f'\nThe lab host. {plan["hello"]}\n', flush=True)
    environment = dict(os.environ, PS1='lab# ', HOME='/root', TERM='linux')
    with open('/dev/ttyS0', 'r+b', buffering=0) as tty:
        subprocess.run(['setsid', '-c', 'bash', '--norc', '-i'], env=environment, check=False,
                       stdin=tty, stdout=tty, stderr=tty)


def work():
    share = Share(SHARE)
    plan = share.read('plan.json')
    os.environ['PATH'] = ':'.join([*([f'{plan["prefix"]}/bin'] if plan['prefix'] else []),
                                   '/usr/sbin:/usr/bin:/sbin:/bin'])
    if plan['modules'] != f'/lib/modules/{os.uname().release}':
        os.makedirs(f'/lib/modules/{os.uname().release}', exist_ok=True)
        subprocess.run(['mount', '--bind', plan['modules'], f'/lib/modules/{os.uname().release}'], check=True)
    if plan['case']:
        run_step(share, plan)
    else:
        run_shell(plan)
    state = share.state()
    state.over = True
    share.set_state(state)


def work_or_say_why():
    try:
        work()
    except BaseException:  # pylint: disable=broad-exception-caught # nobody is above us
        traceback.print_exc()


def switch_off():
    sys.stdout.flush()
    os.execv('/bin/busybox', ['busybox', 'poweroff', '-f'])


def main():
    if os.getpid() != 1:  # a service of systemd, which stops us on the way into the next kernel
        work_or_say_why()
        switch_off()
    child = os.fork()
    if child == 0:
        work_or_say_why()
        os._exit(0)
    # PID 1 inherits every daemon; one that died must not look alive to those who look for it in /proc.
    while os.wait()[0] != child:
        pass
    switch_off()


main()
