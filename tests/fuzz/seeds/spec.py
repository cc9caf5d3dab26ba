# SPDX-License-Identifier: MIT
"""Texts of fuzz_spec.c, besides those that are older."""
def text(kind, *words): return [kind] + list('\0'.join(words).encode())
REGION, SIZE, OPTIONS, NAME, KERNEL = range(5)
PAST_64_BITS = '18446744073709551616'  # the last digit is one too many

SPEC = {
    'should-fail-region-size-past-64-bits': text(REGION, 'file:/a,size=' + PAST_64_BITS),
    'should-fail-region-size-twice': text(REGION, 'file:/a,size=2M,size=4M'),
    'should-fail-region-size-past-any-file': text(REGION, 'file:/a,size=8388608T'),
    'should-fail-size-past-64-bits-in-its-last-digit': text(SIZE, PAST_64_BITS),
    'should-fail-align-twice': text(REGION, 'pmem:auto,align=2M,align=1G'),
    'should-fail-align-twice-of-soft': text(REGION, 'soft:auto,align=2M,align=1G'),
    'should-fail-group-that-is-none': text(OPTIONS, '--trusted-group', '4294967295', '/mnt'),
    'cmdline-no-limit': text(KERNEL, 'mem=0 mem=nopentium mem=1G'),
    'version': text(OPTIONS, '--version'),
    'options-socket-and-trust': text(OPTIONS, '--socket', '/s', '--trust-memory', '/mnt'),
    'options-group-by-number': text(OPTIONS, '--trusted-group', '4711', '/mnt'),
    'options-two-for-the-kernel': text(OPTIONS, '-o', 'ro,noatime', '/mnt'),
    'should-fail-devices': text(OPTIONS, '-o', 'dev', '/mnt'),
    'options-no-rate': text(OPTIONS, '--scrub-rate', 'none', '/mnt'),
    'options-allow-other': text(OPTIONS, '-o', 'allow_other', '/mnt'),
    'should-fail-user-root': text(OPTIONS, '--user', 'root', '/mnt'),
    'should-fail-65-regions': text(OPTIONS, *(65 * ['--region=soft:auto']), '/mnt'),
    'cmdline-longer-than-the-kernel-reads': text(KERNEL, 2048 * 'a' + ' nokaslr'),
    'cmdline-words-that-say-yes-and-no': text(KERNEL, 'dax_hmem.region_idle=on dax_hmem.region_idle=off nokaslr=1 =x "'),
    'cmdline-numbers-out-of-range': text(KERNEL, 'memmap=18446744073709551615!1,1G%4G-4294967296,1G%4G+4294967296,' + PAST_64_BITS + '!1'),
    'cmdline-blacklists': text(KERNEL, 'modprobe.blacklist=dax-pmem,kmem module_blacklist=nd_pmem'),
}
