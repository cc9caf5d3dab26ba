# SPDX-License-Identifier: MIT
"""What is installed is enough for a program from elsewhere: headers, libraries, pkg-config file; in C and in C++."""

import os
import pathlib
import subprocess

import pytest

# A sanitized library asks for a sanitized program.
pytestmark = pytest.mark.preload

PROGRAM = r'''
#include <guestmemfs/guestmemfs.h>
#include <guestmemfs/format.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	int fd = open(argv[argc - 1], O_RDWR | O_CLOEXEC);
	struct gm_attachment *a = NULL;
	void *memory;

	if (gm_attach(fd, &a) < 0)
		return fprintf(stderr, "%s\n", gm_last_problem()), 1;
	memory = gm_map(a, NULL, 0, gm_size(a), PROT_READ | PROT_WRITE, 0);
	if (memory == MAP_FAILED)
		return fprintf(stderr, "%s\n", gm_last_problem()), 1;
	puts((const char *)memory);
	strcpy((char *)memory, argv[1]);
	gm_detach(a);
	return 0;
}
'''

# Name -> compiler with its options, and how the library is linked.
BUILDS = {
    'shared': (['gcc', '-std=c11', '-D_GNU_SOURCE'], []),
    'static': (['gcc', '-std=gnu17'], ['-static']),
    'clang': (['clang', '-std=gnu2x'], []),
    'c++': (['clang++', '-x', 'c++', '-std=c++11'], []),
}


@pytest.fixture(scope='module')
def config():
    """config('--libs'): what pkg-config says of the installed library, as a list."""
    prefix = pathlib.Path(os.environ['GM_PREFIX']).resolve()
    directory = next(prefix.rglob('guestmemfs.pc')).parent

    def run(*options):
        return subprocess.run(['pkg-config', *options, 'guestmemfs'], check=True, capture_output=True, text=True,
                              env={**os.environ, 'PKG_CONFIG_PATH': str(directory)}).stdout.split()
    return run


def test_a_program_of_its_own_shares_a_files_memory(instance, config, tmp_path):
    """Each program finds in the file what the one before it has left there."""
    path = instance.path('vm')
    with open(path, 'wb') as file:
        file.truncate(2 << 20)
    source = tmp_path / 'program.c'
    source.write_text(PROGRAM)
    library_path = config('--variable=libdir')[0]
    before = ''
    for name, (compiler, link) in BUILDS.items():
        program = tmp_path / name
        subprocess.run([*compiler, '-Wall', '-Wextra', '-Wpedantic', '-Werror', *config('--cflags'), str(source),
                        '-x', 'none', *config('--static' if link else '--shared', '--libs'), *link,
                        '-o', str(program)], check=True)
        done = subprocess.run([program, name, path], capture_output=True, text=True, check=False,
                              env={**os.environ, 'LD_LIBRARY_PATH': library_path})
        assert (done.returncode, done.stdout, done.stderr) == (0, before + '\n', ''), name
        before = name
