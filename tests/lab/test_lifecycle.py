# SPDX-License-Identifier: MIT
"""
The life of functions' network: interfaces that linger, ways that change under running code, and what is told of it.

    small 10.0.1.0/28 (11 addresses)    other 10.0.2.0/24    api 198.51.100.10
"""
import json

import pytest

from product import having, wait_until, without

ROLES = {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}}


def function(subnet, groups=("fn", ), **more):
    return {"runtime": "exec", "command": ["cat"], "role": "fn", "timeout": 30,
            "vpc_config": {"subnets": [subnet] if isinstance(subnet, str) else subnet, "security_groups": list(groups)},
            **more}


def lab(**top):
    return {
        "version": 1, "lab": "life", **top, "roles": ROLES,
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16",
            "subnets": {"small": {"cidr_block": "10.0.1.0/28"}, "other": {"cidr_block": "10.0.2.0/24"}},
            "security_groups": {"fn": {}, "spare": {},
                                "open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
            "instances": {"db": {"subnet": "other", "private_ips": ["10.0.2.10"], "security_groups": ["open"],
                                 "serve": ["tcp/5432", "udp/53"]}}}},
        "functions": {"a": function("small"), "b": function("other")}}


def interfaces(product, name="life"):
    """Functions' interfaces, {address: object}."""
    return {v["private_ip"]: v for v in product.show(name, "network_interfaces").values() if v["interface_type"] == "lambda"}


def refused(product, doc, verb="up"):
    r = product.vpclab("-o", "json", verb, product.file(doc))
    assert r.rc, r
    return json.loads(r.err)["error"]


@pytest.mark.ids("LN-30", kind="state")
@pytest.mark.mutant("linger", "linger-dependency")
def test_an_interface_outlives_its_last_function(product):
    """It keeps its address, its subnet and its groups, and is there for a function that comes back."""
    doc = having(lab(eni_linger=1200), function("small", ["fn", "spare"]), "functions", "a")
    product.up(doc)
    first = interfaces(product)["10.0.1.4"]
    gone = without(doc, "functions", "a")
    product.up(gone)
    got = interfaces(product)["10.0.1.4"]
    assert got["id"] == first["id"] and got["status"] == "in-use" and got["description"] == first["description"]
    full = having(gone, {"i%d" % i: {"subnet": "small"} for i in range(11)}, "vpcs", "main", "instances")
    assert refused(product, full)["code"] == "InsufficientFreeAddressesInSubnet"
    fixed = having(gone, {"subnet": "small", "private_ips": ["10.0.1.4"]}, "vpcs", "main", "instances", "i")
    assert refused(product, fixed)["code"] == "InvalidIPAddress.InUse"
    for path, what in [(("subnets", "small"), "The subnet 'subnet-"), (("security_groups", "spare"), "resource sg-")]:
        for verb in ("plan", "up"):
            error = refused(product, without(gone, "vpcs", "main", *path), verb)
            assert (error["code"], error["exit"]) == ("DependencyViolation", 5) and what in error["message"], error
    assert refused(product, {"version": 1, "lab": "life", "eni_linger": 1200})["code"] == "DependencyViolation"
    product.up(doc)
    assert interfaces(product)["10.0.1.4"]["id"] == first["id"]
    product.up(gone)
    product.up({**gone, "eni_linger": 0})
    assert "10.0.1.4" not in interfaces(product)


@pytest.mark.ids("LN-30", "LN-29", kind="state")
@pytest.mark.mutant("linger-end")
def test_it_lingers_for_its_time(fresh):
    """And no longer, whatever daemon died meanwhile; who comes back later has another interface."""
    doc = lab(eni_linger=1200, time_scale=400)
    fresh.start()
    fresh.up(doc)
    first = interfaces(fresh)["10.0.1.4"]
    gone = without(doc, "functions", "a")
    fresh.up(gone)
    fresh.kill("netd")
    fresh.kill("sandboxd")
    fresh.start()
    assert interfaces(fresh)["10.0.1.4"]["id"] == first["id"]
    assert fresh.show("life", "subnets/small")["available_ip_address_count"] == 10
    wait_until(lambda: "10.0.1.4" not in interfaces(fresh), "the interface is gone")
    assert fresh.show("life", "subnets/small")["available_ip_address_count"] == 11
    fresh.up(without(gone, "vpcs", "main", "subnets", "small"))
    fresh.up(having(doc, {"subnet": "small"}, "vpcs", "main", "instances", "i"))
    again = interfaces(fresh)
    assert len(again) == 2 and first["id"] not in [e["id"] for e in again.values()]


@pytest.mark.ids("LN-30", kind="state")
@pytest.mark.mutant("linger")
def test_a_lab_goes_at_once(product):
    doc = lab(eni_linger=1200)
    product.up(doc)
    product.up(without(doc, "functions", "a"))
    assert "10.0.1.4" in interfaces(product)
    product.vpclab("down", "life", check=0)
    assert product.vpclab("show", "life").rc == 3
    product.up({"version": 1, "lab": "life"})
