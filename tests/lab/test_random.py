# SPDX-License-Identifier: MIT
"""
Random labs (random_labs.py), by their seeds: the model's answers are what packets meet (agreement.py).  tests/random_labs
does the same with 200 of them; a seed in which the two differ is looked at by "tests/random_labs --first SEED 1".
"""
import os
import time

from agreement import RandomRun

LABS = int(os.environ.get("VPCLAB_SEEDS", "20"))


def test_random_labs_agree(product):
    """With a mutant chosen the first lab that finds it is enough, and tells how many it took."""
    run, began = RandomRun(), time.monotonic()
    for seed in range(LABS):
        run.lab(product, seed)
        if run.failed and "VPCLAB_MUTANT" in os.environ:
            break
    print(run.table(time.monotonic() - began))
    assert not run.failed, "found by seeds %s, after %d labs" % (run.failed, run.labs)
    short = run.short_of(floor=2) if LABS >= 20 else []
    assert not short, short
