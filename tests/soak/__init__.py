# SPDX-License-Identifier: MIT
"""
The soak: clients that change a tree and their memory while every process is killed at random, and a model beside them,
fed only through system calls and what they answered, that knows what must be there.

    hand.py     the process that makes a client's system calls, and dies
    callers.py  how a client leads its hand, and its mapper (tests/mount/agent.c)
    tree.py     the model: names, attributes, contents        memory.py  the model of memory files' bytes
    choices.py  which operation is next
    plan.py     what a client does, by the seed alone
    client.py   does it: asks, compares, finds out what became of operations that nobody answered, asks again
    killer.py   who dies when
    soak.py     all of it, and the report                      run        the same by hand, for as long as one likes
"""
