# SPDX-License-Identifier: MIT
"""README's tour and the examples of the manuals print what they say."""
import glob
import os

import pytest

from product import ROOT
from tour import Stage, examples, normal

PAGES = sorted(glob.glob(os.path.join(ROOT, "man", "vpclab-*.1")))
README = os.path.join(ROOT, "README.md")


@pytest.fixture
def stage(fresh):
    s = Stage(fresh.build, fresh.home)
    yield s
    s.close()


@pytest.mark.parametrize("path", [README, *PAGES], ids=os.path.basename)
def test_examples_print_what_they_say(stage, path):
    found = examples(path)
    assert found, "no examples"
    stage.ready(path)
    wrong = []
    for e in found:
        said, got = normal("\n".join(e.printed)), normal(stage.run(e.command))
        if said != got:
            wrong.append("%s\n--- says\n%s\n--- prints\n%s" % (e.command, said, got))
    assert not wrong, "\n\n".join(wrong)
