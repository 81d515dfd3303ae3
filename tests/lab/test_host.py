# SPDX-License-Identifier: MIT
"""Two instances of the product and eight labs with equal CIDRs at once, and none knows of another."""
import pytest

from product import Product, having

LAB = {
    "version": 1, "lab": "same",
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16", "subnets": {"one": {"cidr_block": "10.0.1.0/24"}},
        "security_groups": {"g": {"ingress": [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["10.0.0.0/16"]}]}},
        "instances": {"a": {"subnet": "one", "security_groups": ["g"], "private_ips": ["10.0.1.10"]},
                      "b": {"subnet": "one", "security_groups": ["g"], "private_ips": ["10.0.1.11"],
                            "serve": ["tcp/80"]}},
    }},
}


@pytest.mark.ids("ENI-17")
def test_two_instances_and_eight_labs():
    products = [Product(), Product(name="run two")]
    try:
        for p in products:
            p.start()
            for n in range(4):
                p.up(having(LAB, "same-%d" % n, "lab"))
        # each lab's b is another one: closing one group closes one lab only
        closed = having(having(LAB, "same-2", "lab"), [], "vpcs", "main", "security_groups", "g", "ingress")
        products[0].up(closed)
        for i, p in enumerate(products):
            assert len(p.json("ls")) == 4
            for n in range(4):
                want = "timeout" if (i, n) == (0, 2) else "open"
                assert p.probe("same-%d" % n, "a", "b", "tcp/80")["result"] == want, (i, n)
        products[0].vpclab("down", "--all", check=0)
        assert products[0].json("ls") == []
        assert products[1].probe("same-2", "a", "b", "tcp/80")["result"] == "open"
    finally:
        for p in products:
            p.close()


def test_a_run_directory_of_200_characters(fresh):
    p = Product(name=("long " * 60)[:199].rstrip() + "x")
    try:
        p.start()
        p.up(LAB)
        assert p.probe("same", "a", "b", "tcp/80")["result"] == "open"
    finally:
        p.close()
