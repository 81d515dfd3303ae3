# SPDX-License-Identifier: MIT
"""topology/examples/traps.json: its expectations hold, check warns of them, and the model names the line of each."""
import json
import os
import re

import pytest

from product import ROOT

PATH = os.path.join(ROOT, "topology", "examples", "traps.json")


@pytest.mark.asan
def test_traps_hold(product):
    got = product.json("test", PATH)
    assert got["failed"] == 0 and got["passed"] >= 14, got


def test_check_warns(product):
    warnings = {w["code"] for w in product.json("check", PATH)["warnings"]}
    assert {"acl-no-return-ports", "nat-in-private-subnet", "lambda-public-subnet", "function-subnets-differ",
            "peering-one-sided-route"} <= warnings
    paths = [w["path"] for w in product.json("check", PATH)["warnings"]]
    assert not [p for p in paths if "both-ways" in p or "friend" in p], "what works in place of a trap isn't warned of"


def test_why_names_each(product):
    """The code that the file expects, and a line of the file."""
    with open(PATH) as f:
        text = f.read()
    for e in json.loads(text)["expect"]:
        if "because" not in e:
            continue
        got = product.json("why", *(["--address", e["address"]] if "address" in e else []), PATH, e["from"], e["to"], e["port"])
        assert (got["result"], got["decided_by"]["code"]) == (e["result"], e["because"]), e
        assert got["decided_by"]["line"], e
    assert len(re.findall(r'"because"', text)) >= 6
