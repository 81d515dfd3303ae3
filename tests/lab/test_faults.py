# SPDX-License-Identifier: MIT
"""
Whole or not at all: the n-th kernel request fails, and afterwards an independent dump of every namespace equals
the one before.  Every n of a fixed edit and of a two-instance up; of three-modes a seeded sample (VPCLAB_FAULTS=all: every n).
Runs the build that can fail on purpose (make TESTING=1).
"""
import json
import os
import random

import pytest

from product import ROOT, Product, Unix, having
from test_changes import kernel_state, lab


@pytest.fixture(scope="module")
def testing():
    p = Product(build=os.path.join(ROOT, "build", "testing"))
    try:
        yield p.start()
    finally:
        p.close()


def fault(product, n=None):
    """Lets the n-th kernel request from now fail; without n: how many there were so far."""
    c = Unix(os.path.join(product.run, "netd.sock"))
    if n is None:
        c.request("GET", "/v1/testing/fault")
    else:
        c.request("POST", "/v1/testing/fault", json.dumps({"n": n}))
    r = c.getresponse()
    assert r.status == 200, r.read()
    got = json.loads(r.read())
    c.close()
    return got.get("count")


def requests_of(product, doc):
    before = fault(product)
    product.up(doc)
    return fault(product) - before


def each_fault(product, base, doc, numbers):
    """With "base" up (or nothing), "doc" fails at each n and leaves what was; then it comes up."""
    name = doc["lab"]
    for n in numbers:
        before = kernel_state(product, name)
        fault(product, n)
        r = product.vpclab("up", product.file(doc))
        fault(product, 0)
        assert r.rc == 5 and r.err, (n, r)
        assert kernel_state(product, name) == before, "request %d" % n
    product.up(doc)
    product.up(base) if base else product.vpclab("down", name, check=0)


def edit():
    doc = having(lab(), [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["10.0.1.0/24"]},
                         {"protocol": "udp", "from_port": 53, "self": True}],
                 "vpcs", "main", "security_groups", "g", "ingress")
    doc["vpcs"]["main"]["instances"]["c"] = {"subnet": "one"}
    del doc["vpcs"]["main"]["instances"]["b"]
    doc["vpcs"]["main"]["route_tables"] = {"t": {"routes": {"10.9.0.0/16": "blackhole"}}}
    doc["vpcs"]["main"]["subnets"]["one"]["route_table"] = "t"
    return doc


def test_every_request_of_an_edit(testing):
    testing.up(lab())
    total = requests_of(testing, edit())
    testing.up(lab())
    assert total > 5
    each_fault(testing, lab(), edit(), range(1, total + 1))
    testing.vpclab("down", "--all", check=0)


def rules():
    """Other rules of one group: read, compiled and undone alone."""
    return having(lab(), [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["10.0.1.0/24"]},
                          {"protocol": "udp", "from_port": 53, "self": True}],
                  "vpcs", "main", "security_groups", "g", "ingress")


def test_every_request_of_other_rules(testing):
    testing.up(lab())
    total = requests_of(testing, rules())
    testing.up(lab())
    assert total >= 1
    each_fault(testing, lab(), rules(), range(1, total + 1))
    testing.vpclab("down", "--all", check=0)


def test_every_request_of_an_up(testing):
    total = requests_of(testing, lab())
    testing.vpclab("down", "--all", check=0)
    assert total > 10
    each_fault(testing, None, lab(), range(1, total + 1))


def test_requests_of_three_modes(testing):
    with open(os.path.join(ROOT, "topology", "examples", "three-modes.json")) as f:
        doc = json.load(f)
    total = requests_of(testing, doc)
    testing.vpclab("down", "--all", check=0)
    numbers = range(1, total + 1)
    if os.environ.get("VPCLAB_FAULTS") != "all":
        numbers = sorted(random.Random(7).sample(numbers, 12))
    each_fault(testing, None, doc, numbers)
