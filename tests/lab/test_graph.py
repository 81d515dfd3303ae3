# SPDX-License-Identifier: MIT
"""graph: the same picture of a file and of the lab that it made; Graphviz reads what it is given."""
import os
import subprocess
import xml.etree.ElementTree as xml

import pytest

from product import ROOT

EXAMPLES = os.path.join(ROOT, "topology", "examples")


@pytest.mark.mutant("graph-routes")
def test_a_picture_names_what_is_there_and_where_routes_lead(product):
    path = os.path.join(EXAMPLES, "three-modes.json")
    # without root's rights and without a daemon
    r = product.vpclab("--no-start", "graph", path, check=0)
    words = " ".join(t.text for t in xml.fromstring(r.out).iter("{http://www.w3.org/2000/svg}text"))
    for word in ("VPC main", "subnet sealed", "NAT gateway", "internet gateway", "misplaced", "sg: fn", "203.0.113.10",
                 "0.0.0.0/0", "security group db", "functions in no VPC", "retired"):
        assert word in words, word
    product.up(path)
    assert product.vpclab("graph", "three-modes", check=0).out == r.out


def test_every_example_is_read_by_graphviz(product):
    for name in sorted(n for n in os.listdir(EXAMPLES) if n.endswith(".json")):
        dot = product.vpclab("graph", "--format", "dot", os.path.join(EXAMPLES, name), check=0).out
        p = subprocess.run(["dot", "-Tplain"], input=dot, capture_output=True, text=True)
        assert p.returncode == 0 and not p.stderr, name + p.stderr
        mermaid = product.vpclab("graph", "--format", "mermaid", os.path.join(EXAMPLES, name), check=0).out
        assert mermaid.startswith("flowchart LR\n") and mermaid.count("subgraph ") == mermaid.count("end\n"), name


def test_what_is_refused(product):
    path = os.path.join(EXAMPLES, "three-modes.json")
    assert product.vpclab("graph", "--format", "png", path).rc == 2
    assert product.vpclab("graph", "nobody").rc == 3
    assert product.vpclab("graph", product.file("{}")).rc == 2
