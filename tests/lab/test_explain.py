# SPDX-License-Identifier: MIT
"""
The model against packets: what topology/explain says of a lab is what probes measure, cell by cell (agreement.py).  The
two share nothing but the lab: explain walks its objects, packets walk rules.  Random labs are in test_random.py.
"""
import glob
import json
import os

import pytest

from agreement import hold_against
from product import ROOT

EXAMPLES = sorted(glob.glob(os.path.join(ROOT, "topology", "examples", "*.json")))


@pytest.mark.parametrize("path", EXAMPLES, ids=os.path.basename)
def test_examples_agree(product, path):
    with open(path) as f:
        doc = json.load(f)
    product.up(path)
    counts = hold_against(product, doc, 800)
    codes = [w for w in counts if w[1]]
    assert counts["open", ""] and counts["refused", ""] and codes, counts


@pytest.mark.parametrize("path", EXAMPLES, ids=os.path.basename)
def test_matrix_measures_what_it_says(product, path):
    """Of a file with no daemon the same as of the fresh lab, and packets agree."""
    with open(path) as f:
        doc = json.load(f)
    from_file = product.json("matrix", path)
    product.up(path)
    got = product.json("matrix", doc["lab"], "--measure", "--exit-code")
    assert got["disagreements"] == 0 and got["nodes"] == from_file["nodes"] and got["cells"]
    assert [c["expected"] for c in got["cells"]] == [c["expected"] for c in from_file["cells"]] == \
        [c["measured"] for c in got["cells"]]
    assert {"open", "timeout"} <= {c["measured"] for c in got["cells"]}


def test_a_contradiction_is_told(product):
    """What somebody does inside a node, the model can't know: matrix counts it and a report says so."""
    doc = {"version": 1, "lab": "contra", "vpcs": {"v": {
        "cidr_block": "10.0.0.0/16", "subnets": {"s": {"cidr_block": "10.0.1.0/24"}},
        "instances": {"a": {"subnet": "s"}, "b": {"subnet": "s", "serve": ["tcp/80", "tcp/81"]}}}},
        "expect": [{"from": "a", "to": "b", "port": "tcp/80", "result": "open"},
                   {"from": "a", "to": "b", "port": "tcp/81", "result": "open"}]}
    product.up(doc)
    assert product.json("matrix", "contra", "--measure", "--exit-code")["disagreements"] == 0
    product.vpclab("exec", "contra", "b", "--", "nft", "table ip own { chain in { type filter hook input priority 0; "
                   "iifname eth0 tcp dport 80 drop;\n}\n}", check=0)
    got = product.json("matrix", "contra", "--measure", "--exit-code", check=1)
    assert [(c["port"], c["expected"], c["measured"]) for c in got["cells"] if c["from"] == "a"] == [
        ("tcp/80", "open", "timeout"), ("tcp/81", "open", "open")] and got["disagreements"] == 1
    assert [c["differs"] for c in got["cells"] if c["from"] == "a"] == [True, False]
    out = product.vpclab("matrix", "contra", "--measure").out
    assert "differs  a -> b tcp/80: model open, packets timeout\n1 disagreements\n" in out, out
    out = product.vpclab("test", "contra", check=1).out
    assert "        model     says open; what was measured differs\n" in out, out
    assert out.count("not ok") == 1 and product.json("why", "contra", "a", "b", "tcp/80")["result"] == "open"
