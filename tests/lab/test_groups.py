# SPDX-License-Identifier: MIT
"""
Security groups as two independent gates, each deny proven by silence on the wire.

    one 10.0.1.0/24: a (group a), b (group b), c (default)      two 10.0.2.0/24: d (group b)
"""
import pytest

from product import having, prove_deny, without

ALL = {"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}


def lab():
    return {
        "version": 1, "lab": "groups",
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16",
            "subnets": {"one": {"cidr_block": "10.0.1.0/24"}, "two": {"cidr_block": "10.0.2.0/24"}},
            "security_groups": {
                "a": {"egress": [dict(ALL)]},
                "b": {"ingress": [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["10.0.0.0/16"]}],
                      "egress": []},
            },
            "instances": {
                "a": {"subnet": "one", "security_groups": ["a"], "serve": ["tcp/81", "tcp/80"]},
                "b": {"subnet": "one", "security_groups": ["b"], "serve": ["tcp/80", "tcp/81", "udp/80"]},
                "c": {"subnet": "one", "serve": ["tcp/80"]},
                "c2": {"subnet": "two", "serve": ["tcp/80"]},
                "d": {"subnet": "two", "security_groups": ["b"], "serve": ["tcp/80"]},
            },
        }},
    }


GROUPS = ("vpcs", "main", "security_groups")


@pytest.mark.asan
@pytest.mark.ids("SG-5", "SG-7")
@pytest.mark.mutant("ingress-gate")
@pytest.mark.parametrize("target", ["b", "d"])
def test_ingress_needs_a_rule(product, target):
    """Also inside one subnet: the receiver's gate alone denies."""
    other = [{"protocol": "tcp", "from_port": 443, "cidr_blocks": ["10.0.0.0/16"]}]
    prove_deny(product, lab(), having(lab(), other, *GROUPS, "b", "ingress"), "a", target, "tcp/80",
               "ENI_SG_RULES_MISMATCH")


@pytest.mark.ids("SG-2")
@pytest.mark.mutant("ingress-gate")
def test_no_ingress_rule_at_all(product):
    prove_deny(product, lab(), without(lab(), *GROUPS, "b", "ingress"), "a", "b", "tcp/80",
               "SG_HAS_NO_RULES")


@pytest.mark.asan
@pytest.mark.ids("SG-2", "SG-5")
@pytest.mark.mutant("egress-gate")
@pytest.mark.parametrize("target", ["b", "d"])
def test_egress_needs_a_rule(product, target):
    """The sender's gate alone denies, though the receiver's would allow."""
    prove_deny(product, lab(), having(lab(), [], *GROUPS, "a", "egress"), "a", target, "tcp/80",
               "SG_HAS_NO_RULES")


@pytest.mark.ids("SG-5")
@pytest.mark.mutant("egress-gate")
def test_egress_rule_of_another_port(product):
    other = [{"protocol": "tcp", "from_port": 443, "cidr_blocks": ["0.0.0.0/0"]}]
    prove_deny(product, lab(), having(lab(), other, *GROUPS, "a", "egress"), "a", "b", "tcp/80",
               "ENI_SG_RULES_MISMATCH")


@pytest.mark.ids("SG-6")
@pytest.mark.mutant("tracked")
def test_replies_pass_without_a_rule(product):
    """b has no egress rule: its answers pass all the same, and nothing of its own does."""
    product.up(lab())
    assert product.probe("groups", "a", "b", "tcp/80")["result"] == "open"
    got = product.probe("groups", "b", "a", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "SG_HAS_NO_RULES")


@pytest.mark.asan
@pytest.mark.ids("SG-9", "LN-12")
@pytest.mark.mutant("references")
def test_reference_matches_by_membership(product):
    """The group of the rule is the group of the sender; membership is what counts."""
    by_reference = having(lab(), [{"protocol": "tcp", "from_port": 80, "security_groups": ["a"]}],
                          *GROUPS, "b", "ingress")
    other = having(by_reference, {"egress": [dict(ALL)]}, *GROUPS, "other")
    outside = having(other, ["other"], "vpcs", "main", "instances", "a", "security_groups")
    prove_deny(product, other, outside, "a", "b", "tcp/80", "ENI_SG_RULES_MISMATCH")


@pytest.mark.ids("SG-4")
@pytest.mark.mutant("references")
def test_same_group_grants_nothing_without_self(product):
    open_ = lab()
    group = open_["vpcs"]["main"]["security_groups"]["b"]
    group["egress"] = [dict(ALL)]
    group["ingress"] = [{"protocol": "tcp", "from_port": 80, "self": True}]
    closed = having(open_, [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["10.9.0.0/16"]}],
                    *GROUPS, "b", "ingress")
    prove_deny(product, open_, closed, "b", "d", "tcp/80", "ENI_SG_RULES_MISMATCH")


@pytest.mark.asan
@pytest.mark.ids("SG-3")
@pytest.mark.mutant("references")
def test_default_group(product):
    """Members of default reach each other, across subnets too; others don't reach them."""
    product.up(lab())
    assert product.probe("groups", "c", "c2", "tcp/80")["result"] == "open"
    got = product.probe("groups", "a", "c", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "ENI_SG_RULES_MISMATCH")


@pytest.mark.ids("SG-1")
def test_groups_of_an_interface_are_merged(product):
    two = having(lab(), {"ingress": [{"protocol": "tcp", "from_port": 81, "cidr_blocks": ["10.0.1.0/24"]}]},
                 *GROUPS, "more")
    product.up(two)
    assert product.probe("groups", "a", "b", "tcp/81")["result"] == "timeout"
    product.up(having(two, ["b", "more"], "vpcs", "main", "instances", "b", "security_groups"))
    assert product.probe("groups", "a", "b", "tcp/81")["result"] == "open"
    assert product.probe("groups", "a", "b", "tcp/80")["result"] == "open"
    got = product.probe("groups", "a", "b", "udp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "ENI_SG_RULES_MISMATCH")


@pytest.mark.asan
@pytest.mark.ids("SG-8")
@pytest.mark.mutant("ingress-gate")
def test_icmp_by_type(product):
    icmp = having(lab(), [{"protocol": "icmp", "from_port": 8, "to_port": 0, "cidr_blocks": ["10.0.0.0/16"]}],
                  *GROUPS, "b", "ingress")
    other = having(lab(), [{"protocol": "icmp", "from_port": 13, "to_port": -1, "cidr_blocks": ["10.0.0.0/16"]}],
                   *GROUPS, "b", "ingress")
    prove_deny(product, icmp, other, "a", "b", "icmp", "ENI_SG_RULES_MISMATCH")


@pytest.mark.ids("SG-8")
def test_overlapping_rules_are_one_wall(product):
    """Overlapping port and address ranges that a person may write all count."""
    rules = [
        {"protocol": "tcp", "from_port": 70, "to_port": 85, "cidr_blocks": ["10.0.0.0/16", "10.0.1.0/24"]},
        {"protocol": "tcp", "from_port": 80, "to_port": 90, "cidr_blocks": ["10.0.0.0/8", "10.0.1.4/32"]},
        {"protocol": "udp", "from_port": 0, "to_port": 65535, "cidr_blocks": ["10.0.1.0/24"]},
    ]
    product.up(having(lab(), rules, *GROUPS, "b", "ingress"))
    for port, want in (("tcp/80", "open"), ("tcp/81", "open"), ("udp/80", "open"), ("tcp/86", "refused"),
                       ("tcp/91", "timeout"), ("tcp/69", "timeout")):
        assert product.probe("groups", "a", "b", port)["result"] == want, port
    assert product.probe("groups", "c2", "b", "udp/80")["result"] == "timeout"
