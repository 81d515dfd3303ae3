# SPDX-License-Identifier: MIT
"""
Route tables: main and custom, longest prefix, blackhole, and silence for what has no route.

    one 10.0.1.0/24: a        mid 10.0.2.0/24: box (source/dest check off, forwards)
    far 10.0.3.0/24: b        api 198.51.100.10, web 198.51.100.20 on the internet
"""
import pytest

from product import having, prove_deny, without

VPC = ("vpcs", "main")


def lab():
    return {
        "version": 1, "lab": "routes",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53"]},
                               "web": {"ip": "198.51.100.20", "serve": ["tcp/443"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True, "main_route_table": "public",
            "subnets": {"one": {"cidr_block": "10.0.1.0/24"},
                        "mid": {"cidr_block": "10.0.2.0/24", "route_table": "local"},
                        "far": {"cidr_block": "10.0.3.0/24", "route_table": "local"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "local": {"routes": {}}},
            "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
            "instances": {
                "a": {"subnet": "one", "security_groups": ["open"], "elastic_ip": "203.0.113.5", "serve": ["tcp/80"]},
                "box": {"subnet": "mid", "security_groups": ["open"], "source_dest_check": False,
                        "forward": True, "serve": ["tcp/80"]},
                "b": {"subnet": "far", "security_groups": ["open"], "serve": ["tcp/80"]},
            },
        }},
    }


def table(doc, routes, name="public"):
    return having(doc, routes, *VPC, "route_tables", name, "routes")


@pytest.mark.asan
@pytest.mark.ids("RT-9")
@pytest.mark.mutant("lost")
def test_no_route_is_silence(product):
    prove_deny(product, lab(), table(lab(), {}), "a", "api", "tcp/443", "NO_ROUTE_TO_DESTINATION")


@pytest.mark.asan
@pytest.mark.ids("RT-7", "RT-8")
@pytest.mark.mutant("blackhole")
def test_blackhole_takes_part_in_longest_prefix(product):
    """A blackhole /24 drops, and a shorter default does not win; its neighbours still pass."""
    hole = table(lab(), {"0.0.0.0/0": "internet_gateway", "198.51.100.0/28": "blackhole"})
    prove_deny(product, lab(), hole, "a", "api", "tcp/443", "BAD_STATE_ROUTE")
    product.up(hole)
    assert product.probe("routes", "a", "web", "tcp/443")["result"] == "open"
    states = {r["destination"]: r["state"]
              for r in product.show("routes", "route_tables/main/public")["routes"]}
    assert states["198.51.100.0/28"] == "blackhole" and states["0.0.0.0/0"] == "active"


@pytest.mark.asan
@pytest.mark.ids("RT-3")
def test_longest_prefix_wins(product):
    narrow = table(lab(), {"0.0.0.0/0": "blackhole", "198.51.100.10/32": "internet_gateway"})
    product.up(narrow)
    assert product.probe("routes", "a", "api", "tcp/443")["result"] == "open"
    got = product.probe("routes", "a", "web", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "BAD_STATE_ROUTE")


@pytest.mark.ids("RT-1", "RT-2")
@pytest.mark.mutant("main-table")
def test_main_table_serves_subnets_without_one(product):
    """Another table made main: the subnet follows at once, untouched itself."""
    doc = lab()
    product.up(doc)
    assert product.probe("routes", "a", "api", "tcp/443")["result"] == "open"
    changed = product.up(having(doc, "local", *VPC, "main_route_table"))
    assert all(c["kind"] not in ("instance", "network_interface") for c in changed["changes"]), changed
    got = product.probe("routes", "a", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "NO_ROUTE_TO_DESTINATION")


@pytest.mark.asan
@pytest.mark.ids("RT-12")
@pytest.mark.mutant("lost")
def test_an_address_that_nobody_has(product):
    product.up(lab())
    for address in ("10.0.3.77", "10.0.9.9", "10.0.1.77"):
        got = product.probe("routes", "a", address, "tcp/80")
        assert (got["result"], got["dropped"]["code"]) == ("timeout", "UNKNOWN_DESTINATION"), address


@pytest.mark.asan
@pytest.mark.ids("RT-3", "ENI-9")
@pytest.mark.mutant("source-dest-check")
def test_route_to_an_appliance_and_its_check(product):
    """A whole subnet's route leads through an instance: only with its source/dest check off."""
    through = table(lab(), {"10.0.3.0/24": "instance:box"})
    checked = having(through, True, *VPC, "instances", "box", "source_dest_check")
    product.up(through)
    box = product.capture(product.netns("routes", "box"))
    assert product.probe("routes", "a", "b", "tcp/80")["result"] == "open"
    assert [p for p in box.packets() if p.dport == 80 and not p.outgoing], "not through the appliance"
    box.close()
    prove_deny(product, through, checked, "a", "b", "tcp/80", "ENI_SOURCE_DEST_CHECK_RESTRICTION")


def seen_by(product, node, port, fn):
    """What fn() returns, and how many packets to the port came into a node meanwhile."""
    box = product.capture(product.netns("routes", node))
    got = fn()
    n = len([p for p in box.packets() if p.dport == port and not p.outgoing])
    box.close()
    return got, n


@pytest.mark.asan
@pytest.mark.ids("RT-10", "RT-11")
@pytest.mark.mutant("neighbours")
def test_a_table_is_not_asked_between_neighbours(product):
    """A subnet's own CIDR led to an appliance: others are steered there, neighbours meet as before."""
    doc = having(lab(), {"subnet": "one", "security_groups": ["open"], "serve": ["tcp/80"]}, *VPC, "instances", "a2")
    doc = having(having(doc, {"routes": {}}, *VPC, "route_tables", "far"), "far", *VPC, "subnets", "far", "route_table")
    through = table(doc, {"10.0.1.0/24": "instance:box"})
    through = table(through, {"10.0.1.0/24": "instance:box"}, "far")
    product.up(through)
    got, n = seen_by(product, "box", 80, lambda: product.probe("routes", "a", "a2", "tcp/80"))
    assert (got["result"], n) == ("open", 0), "neighbours were steered"
    got, n = seen_by(product, "box", 80, lambda: product.probe("routes", "b", "a2", "tcp/80"))
    assert got["result"] == "open" and n, "a host of another subnet wasn't"
    # nor are they cut off by a route that leads nowhere, which the other subnet's host is
    hole = table(table(doc, {"10.0.1.0/24": "blackhole"}), {"10.0.1.0/24": "blackhole"}, "far")
    product.up(hole)
    assert product.probe("routes", "a", "a2", "tcp/80")["result"] == "open"
    got = product.probe("routes", "a", "10.0.1.77", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "UNKNOWN_DESTINATION")
    prove_deny(product, doc, hole, "b", "a2", "tcp/80", "BAD_STATE_ROUTE")


@pytest.mark.asan
@pytest.mark.ids("RT-4")
@pytest.mark.ids("RT-4", "RT-15", kind="state")
@pytest.mark.mutant("route-origin", "local-route")
def test_the_local_route_led_elsewhere(product):
    """All of the VPC by an appliance, and back; show says where the local route leads and whence it is."""
    def routes():
        return [(r["destination"], r["target"], r["state"], r["origin"])
                for r in product.show("routes", "route_tables/main/public")["routes"]]
    default = ("0.0.0.0/0", "internet_gateway", "active", "CreateRoute")
    doc = lab()
    product.up(doc)
    assert routes() == [("10.0.0.0/16", "local", "active", "CreateRouteTable"), default]
    got, n = seen_by(product, "box", 80, lambda: product.probe("routes", "a", "b", "tcp/80"))
    assert (got["result"], n) == ("open", 0)
    product.up(table(doc, {"0.0.0.0/0": "internet_gateway", "10.0.0.0/16": "instance:box"}))
    assert routes() == [("10.0.0.0/16", "instance:box", "active", "CreateRouteTable"), default]
    got, n = seen_by(product, "box", 80, lambda: product.probe("routes", "a", "b", "tcp/80"))
    assert got["result"] == "open" and n, "not through the appliance"
    gone = table(doc, {"0.0.0.0/0": "internet_gateway", "10.0.0.0/16": "blackhole"})
    prove_deny(product, doc, gone, "a", "b", "tcp/80", "BAD_STATE_ROUTE")
    product.up(gone)
    assert routes()[0] == ("10.0.0.0/16", "blackhole", "blackhole", "CreateRouteTable")
    product.up(doc)
    assert routes()[0][1:3] == ("local", "active")


@pytest.mark.asan
@pytest.mark.ids("RT-6")
@pytest.mark.mutant("no-routes")
def test_link_local_services_are_not_forwarded_to(product):
    """A wider route is taken, and its packets to 169.254.168.0/22 aren't forwarded all the same."""
    product.up(table(lab(), {"169.254.0.0/16": "instance:box", "0.0.0.0/0": "internet_gateway"}))
    for address, code in (("169.254.168.1", "NO_ROUTE_TO_DESTINATION"), ("169.254.171.254", "NO_ROUTE_TO_DESTINATION")):
        got, n = seen_by(product, "box", 80, lambda to=address: product.probe("routes", "a", to, "tcp/80"))
        assert (got["result"], got["dropped"]["code"], n) == ("timeout", code, 0), address
    got, n = seen_by(product, "box", 80, lambda: product.probe("routes", "a", "169.254.172.1", "tcp/80"))
    assert n, "what is beside it is forwarded"


@pytest.mark.ids("RT-4")
@pytest.mark.mutant("blackhole")
def test_a_route_more_specific_than_local(product):
    """A route more specific than local decides over a throw, and local comes back without it."""
    hole = table(lab(), {"10.0.3.0/24": "blackhole", "0.0.0.0/0": "internet_gateway"})
    product.up(hole)
    got = product.probe("routes", "a", "b", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "BAD_STATE_ROUTE")
    product.up(lab())
    assert product.probe("routes", "a", "b", "tcp/80")["result"] == "open"


@pytest.mark.ids("RT-7")
def test_target_that_goes_leaves_a_blackhole_not_a_shorter_route(product):
    doc = table(lab(), {"10.0.3.0/24": "instance:box", "0.0.0.0/0": "internet_gateway"})
    product.up(doc)
    gone = without(table(doc, {"10.0.3.0/24": "blackhole", "0.0.0.0/0": "internet_gateway"}),
                   *VPC, "instances", "box")
    product.up(gone)
    got = product.probe("routes", "a", "b", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "BAD_STATE_ROUTE")
    assert product.probe("routes", "a", "api", "tcp/443")["result"] == "open"


@pytest.mark.ids("RT-7")
@pytest.mark.ids("RT-7", kind="state")
@pytest.mark.mutant("blackhole")
def test_a_gateway_that_failed_is_a_blackhole(product):
    """AWS makes a NAT gateway and has it fail: the route to it stays, leads nowhere, and lives once it is there."""
    doc = having(table(lab(), {"0.0.0.0/0": "nat_gateway:nat"}, "local"),
                 {"nat": {"subnet": "one", "elastic_ip": "203.0.113.10"}}, *VPC, "nat_gateways")

    def route():
        return [r for r in product.show("routes", "route_tables/main/local")["routes"] if r["destination"] != "10.0.0.0/16"]
    bare = without(having(table(doc, {}), False, *VPC, "internet_gateway"),
                   *VPC, "instances", "a")
    product.up(bare)
    assert product.show("routes", "nat_gateways/main/nat")["state"] == "failed"
    assert route() == [{"destination": "0.0.0.0/0", "target": "nat_gateway:nat", "state": "blackhole",
                        "origin": "CreateRoute"}]
    got = product.probe("routes", "b", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "BAD_STATE_ROUTE")
    product.up(doc)
    assert route()[0]["state"] == "active"
    assert product.probe("routes", "b", "api", "tcp/443")["result"] == "open"
