# SPDX-License-Identifier: MIT
"""
Network interfaces as objects of their own: several addresses, several interfaces of one instance, moving them and their
elastic addresses while traffic runs.

    one 10.0.1.0/24: client, a        two 10.0.2.0/24: b, other; interface x 10.0.2.50 (+ 10.0.2.51) at a as eth1
    far 10.0.3.0/24: distant          api 198.51.100.10 on the internet
"""
import json
import socket

import pytest

from product import having, in_netns, without

VPC = ("vpcs", "main")
X = VPC + ("network_interfaces", "x")


def lab():
    return {
        "version": 1, "lab": "enis",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"one": {"cidr_block": "10.0.1.0/24", "route_table": "out"},
                        "two": {"cidr_block": "10.0.2.0/24", "route_table": "out"},
                        "far": {"cidr_block": "10.0.3.0/24", "availability_zone": "us-east-1b"}},
            "route_tables": {"out": {"routes": {"0.0.0.0/0": "internet_gateway"}}},
            "security_groups": {
                "open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]},
                "web": {"ingress": [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["0.0.0.0/0"]}]},
                "dns": {"ingress": [{"protocol": "udp", "from_port": 53, "cidr_blocks": ["0.0.0.0/0"]}]},
                "friends": {"ingress": [{"protocol": "tcp", "from_port": 80, "security_groups": ["web"]}]},
            },
            "instances": {
                "client": {"subnet": "one", "security_groups": ["open"], "serve": ["tcp/80"]},
                "a": {"subnet": "one", "private_ips": ["10.0.1.10"], "security_groups": ["open"],
                      "serve": ["tcp/80", "udp/53"]},
                "b": {"subnet": "two", "private_ips": ["10.0.2.10"], "security_groups": ["open"],
                      "serve": ["tcp/80", "udp/53"]},
                "other": {"subnet": "two", "security_groups": ["friends"], "serve": ["tcp/80"]},
                "distant": {"subnet": "far", "security_groups": ["open"], "serve": ["tcp/80"]},
            },
            "network_interfaces": {
                "x": {"subnet": "two", "private_ips": ["10.0.2.50", "10.0.2.51"], "security_groups": ["web", "dns"],
                      "elastic_ips": {"10.0.2.50": "203.0.113.50", "10.0.2.51": "203.0.113.51"},
                      "attach_to": "a", "device_index": 1},
            },
        }},
    }


def moved():
    return having(lab(), "b", *X, "attach_to")


def detached():
    return without(without(lab(), *X, "attach_to"), *X, "device_index")


def devices(product, node):
    out = product.vpclab("exec", "enis", node, "--", "ip", "-4", "-o", "addr", "show", check=0).out
    return sorted(tuple(line.split()[i] for i in (1, 3)) for line in out.splitlines() if " lo " not in line)


def both_ways(product, source, address, port, result="open"):
    """By packets and by the model."""
    got = product.probe("enis", source, address, port)
    said = product.json("why", "enis", source, address, port)
    assert (got["result"], said["result"]) == (result, result), "%s -> %s %s: %r" % (source, address, port, got)
    if result == "open":
        assert got["seen_as"] is None if port == "icmp" else got["seen_as"] == said["seen_as"]
    elif result == "timeout":
        assert got["dropped"]["code"] == said["decided_by"]["code"], (got, said)
    return got, said


@pytest.mark.asan
@pytest.mark.ids("ENI-1", "ENI-7")
@pytest.mark.mutant("address-rules")
def test_answers_leave_where_the_question_came_in(product):
    """From its own subnet, from another and from the internet, to each address of each interface, TCP and UDP."""
    product.up(lab())
    assert devices(product, "a") == [("eth0", "10.0.1.10/24"), ("eth1", "10.0.2.50/24"), ("eth1", "10.0.2.51/32")]
    before = product.dropped("enis")
    for source in ("client", "b", "distant"):
        for address in ("10.0.1.10", "10.0.2.50", "10.0.2.51"):
            both_ways(product, source, address, "tcp/80")
            both_ways(product, source, address, "udp/53")
    for address in ("203.0.113.50", "203.0.113.51"):
        got, _ = both_ways(product, "api", address, "tcp/80")
        assert got["seen_as"] == "198.51.100.10"
    assert product.dropped("enis") == before
    # its own packets: to the second subnet by eth1, else by eth0, which has no public address
    assert both_ways(product, "a", "10.0.2.10", "tcp/80")[0]["seen_as"] == "10.0.2.50"
    assert both_ways(product, "a", "10.0.3.4", "tcp/80")[0]["seen_as"] == "10.0.1.10"
    both_ways(product, "a", "198.51.100.10", "tcp/443", "timeout")


@pytest.mark.ids("ENI-7", "SG-1", "SG-9")
@pytest.mark.mutant("ingress-gate")
def test_groups_are_of_the_interface(product):
    """Each of its addresses has the union of its groups, and they aren't those of the instance's other interface."""
    product.up(lab())
    for address in ("10.0.2.50", "10.0.2.51"):
        both_ways(product, "b", address, "tcp/80")
        both_ways(product, "b", address, "udp/53")
        _, said = both_ways(product, "b", address, "tcp/81", "timeout")
        assert said["decided_by"]["code"] == "ENI_SG_RULES_MISMATCH"
    both_ways(product, "b", "10.0.1.10", "tcp/81", "refused")  # eth0 is open
    # as the sender: only packets of x are from a member of "web"
    both_ways(product, "a", product.show("enis", "instances/other")["private_ip"], "tcp/80")
    one = having(lab(), ["web"], *X, "security_groups")
    prove = product.up(one)
    assert [(c["kind"], c["because"]) for c in prove["changes"]] == [("network_interface", "security_groups changed")]
    both_ways(product, "b", "10.0.2.51", "udp/53", "timeout")
    both_ways(product, "b", "10.0.2.51", "tcp/80")


@pytest.mark.asan
@pytest.mark.ids("ENI-5")
@pytest.mark.mutant("secondary-addresses")
def test_secondary_addresses_come_and_go(product):
    """On an instance that runs: its programs and connections stay; the primary one can't be exchanged."""
    doc = detached()
    product.up(doc)
    first = product.show("enis", "instances/b")
    listener = in_netns(product.netns("enis", "b"), lambda: socket.create_server(("10.0.2.10", 7000)))
    held = in_netns(product.netns("enis", "client"), lambda: socket.create_connection(("10.0.2.10", 7000), 5))
    there, _ = listener.accept()
    more = having(doc, ["10.0.2.10", "10.0.2.9", "10.0.2.77"], *VPC, "instances", "b", "private_ips")
    both_ways(product, "client", "10.0.2.77", "tcp/80", "timeout")
    got = product.up(more)
    assert [(c["action"], c["kind"], c["because"]) for c in got["changes"]] == [
        ("update", "instance", "private_ips changed")]
    for address in ("10.0.2.9", "10.0.2.10", "10.0.2.77"):
        both_ways(product, "client", address, "tcp/80")
        both_ways(product, "client", address, "udp/53")
    # what it sends is still from the primary one
    assert both_ways(product, "b", "10.0.1.10", "tcp/80")[0]["seen_as"] == "10.0.2.10"
    assert product.show("enis", "instances/b")["private_ips"] == ["10.0.2.10", "10.0.2.9", "10.0.2.77"]
    product.up(having(doc, ["10.0.2.10", "10.0.2.77"], *VPC, "instances", "b", "private_ips"))
    both_ways(product, "client", "10.0.2.9", "tcp/80", "timeout")
    both_ways(product, "client", "10.0.2.77", "tcp/80")
    held.sendall(b"x")
    there.settimeout(5)
    assert there.recv(1) == b"x"
    last = product.show("enis", "instances/b")
    assert (last["id"], last["pid"]) == (first["id"], first["pid"])
    plan = product.json("plan", product.file(having(doc, ["10.0.2.11"], *VPC, "instances", "b", "private_ips")))
    assert [(c["action"], c["kind"]) for c in plan["changes"]][0] == ("replace", "instance")
    for s in (held, there, listener):
        s.close()


@pytest.mark.asan
@pytest.mark.ids("ENI-2", "ENI-1")
@pytest.mark.mutant("moved-forgotten")
def test_an_interface_moves_and_its_traffic_follows(product):
    """Id, addresses and MAC stay; what tracking knew of it is forgotten; nothing else of the two instances changes."""
    product.up(lab())
    was = product.show("enis", "network_interfaces/main/x")
    pids = {n: product.show("enis", "instances/" + n)["pid"] for n in "ab"}
    assert (was["status"], was["attachment"]["instance"], was["attachment"]["device_index"]) == ("in-use", "a", 1)
    a, b = (product.netns("enis", n) for n in "ab")
    old = in_netns(a, lambda: socket.create_server(("10.0.2.50", 7000)))
    own = in_netns(a, lambda: socket.create_server(("10.0.1.10", 7001)))
    product.up(having(lab(), ["open"], *X, "security_groups"))
    client = product.netns("enis", "client")
    held = in_netns(client, lambda: socket.create_connection(("10.0.2.50", 7000), 5))
    stays = in_netns(client, lambda: socket.create_connection(("10.0.1.10", 7001), 5))
    stays_there, _ = own.accept()
    got = product.up(having(moved(), ["open"], *X, "security_groups"))
    assert [(c["action"], c["kind"], c["because"]) for c in got["changes"]] == [
        ("update", "network_interface", "attach_to changed")]
    now = product.show("enis", "network_interfaces/main/x")
    for member in ("id", "mac_address", "private_ips", "public_ips", "router_interface"):
        assert now[member] == was[member]
    assert now["attachment"]["instance"] == "b"
    assert devices(product, "a") == [("eth0", "10.0.1.10/24")]
    assert ("eth1", "10.0.2.50/24") in devices(product, "b")
    both_ways(product, "client", "10.0.2.50", "tcp/80")
    both_ways(product, "api", "203.0.113.51", "tcp/80")
    # the old connection is a stranger to b, whose kernel says so; it lives on with nobody
    router = product.named_netns("enis", "router.main")
    known = in_netns(router, lambda: open("/proc/thread-self/net/nf_conntrack").read())
    assert "dport=7000" not in known and "dport=7001" in known
    held.settimeout(5)
    with pytest.raises(ConnectionResetError):
        held.sendall(b"x")
        held.recv(1)
    stays.sendall(b"y")
    stays_there.settimeout(5)
    assert stays_there.recv(1) == b"y"
    assert pids == {n: product.show("enis", "instances/" + n)["pid"] for n in "ab"}
    for s in (old, own, held, stays, stays_there):
        s.close()


@pytest.mark.asan
@pytest.mark.ids("ENI-1", "ENI-2", "RT-7")
@pytest.mark.mutant("explain-unattached")
def test_an_interface_without_an_instance(product):
    """It is there and has its addresses, nobody answers there, and a route to it leads nowhere."""
    doc = having(detached(), "network_interface:x", *VPC, "route_tables", "out", "routes", "198.51.100.0/24")
    product.up(doc)
    x = product.show("enis", "network_interfaces/main/x")
    assert (x["status"], x["attachment"], x["private_ip"]) == ("available", None, "10.0.2.50")
    both_ways(product, "client", "10.0.2.50", "tcp/80", "timeout")
    got, said = both_ways(product, "client", "198.51.100.10", "tcp/443", "timeout")
    assert said["decided_by"]["code"] == "BAD_STATE_ROUTE"
    both_ways(product, "api", "203.0.113.50", "tcp/80", "timeout")
    route = [r for r in product.show("enis", "route_tables/main/out")["routes"] if r["destination"] == "198.51.100.0/24"]
    assert [(r["target"], r["state"]) for r in route] == [("network_interface:x", "blackhole")]
    taken = product.vpclab("check", product.file(having(doc, ["10.0.2.51"], *VPC, "instances", "other", "private_ips")))
    assert taken.rc == 2 and "10.0.2.51" in taken.err + taken.out
    # attached, with its check off, to an instance that forwards: the same route leads through it
    through = having(lab(), {"routes": {"10.0.3.0/24": "network_interface:x"}}, *VPC, "route_tables", "through")
    through = having(through, "through", *VPC, "subnets", "two", "route_table")
    through = having(having(through, False, *X, "source_dest_check"), True, *VPC, "instances", "a", "forward")
    through = having(through, False, *VPC, "instances", "a", "source_dest_check")
    through = having(through, ["open"], *X, "security_groups")
    product.up(through)
    seen = product.capture(product.netns("enis", "a"))
    both_ways(product, "b", "10.0.3.4", "icmp")
    assert {p.dev for p in seen.packets() if p.icmp == (8, 0)} == {"eth0", "eth1"}
    seen.close()
    assert product.show("enis", "route_tables/main/through")["routes"][-1]["state"] == "active"


@pytest.mark.ids("ENI-9", "L2-2")
@pytest.mark.mutant("anti-spoofing")
def test_an_address_is_its_interface_s(product):
    """With its rules taken away, the node sends an address of eth1 by eth0: that isn't eth0's to send."""
    product.up(lab())
    product.vpclab("exec", "enis", "a", "--", "sh", "-c",
                   "for i in 0 100 101; do ip rule del pref $((1000 + i)); done", check=0)
    # so that eth0 knows its router: its ARP request would bear the wrong address and be refused, too
    assert product.probe("enis", "a", "10.0.3.4", "tcp/80")["result"] == "open"
    before = product.dropped("enis")
    got = product.probe("enis", "distant", "10.0.2.50", "tcp/80")
    after = product.dropped("enis")
    assert got["result"] == "timeout", got
    rose = {c: after[c] - before.get(c, 0) for c in after if after[c] != before.get(c, 0)}
    assert set(rose) == {"ENI_ADDRESS_RESTRICTION"}, (rose, got)


@pytest.mark.asan
@pytest.mark.ids("ENI-12", "ENI-11")
@pytest.mark.mutant("elastic-forgotten")
def test_an_elastic_address_moves_under_traffic(product):
    """The old holder's flow ends, a new one reaches the new holder, and no node ever sees the address."""
    here = having(lab(), "203.0.113.9", *VPC, "instances", "client", "elastic_ip")
    there = having(lab(), "203.0.113.9", *VPC, "instances", "b", "elastic_ip")
    product.up(here)
    by_name = {"client": None, "b": None}
    for node in by_name:
        by_name[node] = in_netns(product.netns("enis", node), lambda: socket.create_server(("0.0.0.0", 7000)))
    api = product.netns("enis", "api")
    held = in_netns(api, lambda: socket.create_connection(("203.0.113.9", 7000), 5))
    first, _ = by_name["client"].accept()
    out = in_netns(product.netns("enis", "client"), lambda: socket.create_connection(("198.51.100.10", 443), 5))
    at_client = product.capture(product.netns("enis", "client"))
    got = product.up(there)
    assert sorted((c["name"], c["because"]) for c in got["changes"]) == [
        ("b", "elastic_ip changed"), ("client", "elastic_ip changed")]
    router = product.named_netns("enis", "router.main")
    known = in_netns(router, lambda: open("/proc/thread-self/net/nf_conntrack").read())
    assert "203.0.113.9" not in known, known
    again = in_netns(api, lambda: socket.create_connection(("203.0.113.9", 7000), 5))
    second, who = by_name["b"].accept()
    assert who[0] == "198.51.100.10"
    again.sendall(b"n")
    second.settimeout(5)
    assert second.recv(1) == b"n"
    # what runs on the old flow gets to b, to whom it is a stranger, and what the old holder sends dies at the gateway
    held.settimeout(5)
    with pytest.raises(ConnectionResetError):
        held.sendall(b"x")
        held.recv(1)
    before = product.dropped("enis").get("IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS", 0)
    out.sendall(b"x")
    assert product.probe("enis", "client", "198.51.100.10", "tcp/443")["result"] == "timeout"
    assert product.dropped("enis")["IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS"] > before
    assert not [p for p in at_client.packets() if not p.outgoing and p.src == "198.51.100.10"]
    at_client.close()
    assert product.probe("enis", "b", "api", "tcp/443")["seen_as"] == "203.0.113.9"
    for node in ("client", "b"):
        assert "203.0.113" not in product.vpclab("exec", "enis", node, "--", "ip", "addr", check=0).out
    for s in (held, again, first, second, out, *by_name.values()):
        s.close()


@pytest.mark.ids("ENI-12", "ENI-1")
@pytest.mark.mutant("secondary-public")
def test_elastic_addresses_of_an_interface(product):
    """One for each private address, each the other's only public one; to an instance and back."""
    product.up(lab())
    x = product.show("enis", "network_interfaces/main/x")
    assert x["public_ips"] == {"10.0.2.50": "203.0.113.50", "10.0.2.51": "203.0.113.51"}
    for public in x["public_ips"].values():
        both_ways(product, "api", public, "tcp/80")
    seen = product.capture(product.netns("enis", "api"))

    def send(source):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((source, 0))
        s.settimeout(5)
        s.sendto(b"x", ("198.51.100.10", 53))
        s.recv(1500)
        s.close()
    for private, public in x["public_ips"].items():
        in_netns(product.netns("enis", "a"), lambda at=private: send(at))
        assert [p.src for p in seen.packets() if p.dport == 53] == [public]
    seen.close()
    doc = without(lab(), *X, "elastic_ips", "10.0.2.51")
    product.up(having(doc, "203.0.113.51", *VPC, "instances", "b", "elastic_ip"))
    assert product.probe("enis", "b", "api", "tcp/443")["seen_as"] == "203.0.113.51"
    both_ways(product, "api", "203.0.113.50", "tcp/80")
    product.up(lab())
    both_ways(product, "api", "203.0.113.51", "tcp/80")


@pytest.mark.ids("ENI-10")
@pytest.mark.mutant("launch-address")
def test_with_several_interfaces_no_address_is_given(product):
    """The subnet gives one to who has a single interface, at the launch."""
    doc = having(lab(), True, *VPC, "subnets", "one", "map_public_ip_on_launch")
    product.up(doc)
    got = product.probe("enis", "a", "api", "tcp/443")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS")
    assert product.probe("enis", "client", "api", "tcp/443")["result"] == "open"
    product.vpclab("down", "enis", check=0)
    product.up(having(detached(), True, *VPC, "subnets", "one", "map_public_ip_on_launch"))
    assert product.probe("enis", "a", "api", "tcp/443")["result"] == "open"


@pytest.mark.ids("ENI-1", "ENI-14", "ENI-15", kind="state")
@pytest.mark.mutant("requester-managed")
def test_what_show_says_of_interfaces(product):
    doc = having(lab(), {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}}, "roles")
    doc = having(doc, {"f": {"runtime": "exec", "command": ["cat"], "role": "fn",
                             "vpc_config": {"subnets": ["one"], "security_groups": ["web"]}}}, "functions")
    doc = having(doc, {"n": {"subnet": "one"}}, *VPC, "nat_gateways")
    product.up(doc)
    shown = product.show("enis")["vpcs"]["main"]
    enis = shown["network_interfaces"]
    nat = shown["nat_gateways"]["n"]
    kinds = {(e["interface_type"], e["requester_managed"]) for e in enis.values()}
    assert kinds == {("interface", False), ("nat_gateway", True), ("lambda", False)}
    assert enis[nat["network_interface_id"]]["description"] == "Interface for NAT Gateway " + nat["id"]
    of_function, = [e for e in enis.values() if e["interface_type"] == "lambda"]
    assert of_function["description"].startswith("AWS Lambda VPC ENI-f-")
    a = shown["instances"]["a"]
    assert a["network_interface_ids"] == [a["network_interface_id"], enis["x"]["id"]]
    assert enis["x"] == product.show("enis", "network_interfaces/x") == product.show("enis", "network_interfaces/main/x")
    assert enis["x"]["security_groups"] == ["web", "dns"] and enis["x"]["source_dest_check"]
    # they go with their owners
    product.up(lab())
    left = {e["interface_type"] for e in product.show("enis", "network_interfaces").values()}
    assert left == {"interface"}


@pytest.mark.asan
@pytest.mark.ids("ENI-17")
@pytest.mark.mutant("anti-spoofing")
def test_equal_addresses_of_two_vpcs_never_meet(product):
    """Two VPCs with one plan: a packet reaches its own VPC's host, also a forged one, and the other sees nothing."""
    doc = lab()
    doc["vpcs"]["twin"] = {
        "cidr_block": "10.0.0.0/16", "subnets": {"one": {"cidr_block": "10.0.1.0/24"}},
        "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
        "instances": {"t1": {"subnet": "one", "private_ips": ["10.0.1.10"], "security_groups": ["open"],
                             "serve": ["tcp/80"]},
                      "t2": {"subnet": "one", "private_ips": ["10.0.1.20"], "security_groups": ["open"]}}}
    product.up(doc)
    a, t1 = product.capture(product.netns("enis", "a")), product.capture(product.netns("enis", "t1"))
    assert product.probe("enis", "client", "10.0.1.10", "tcp/80")["result"] == "open"
    assert a.packets() and not t1.packets()
    assert product.probe("enis", "t2", "10.0.1.10", "tcp/80")["result"] == "open"
    assert t1.packets() and not a.packets()

    def forge():
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        s.sendto(b"\x45\0\0\x1c\0\7\0\0\x40\x11\0\0" + socket.inet_aton("10.0.1.10") +
                 socket.inet_aton("10.0.1.20") + b"\x10\0\x10\0\0\x08\0\0", ("10.0.1.20", 0))
        s.close()
    before = product.dropped("enis").get("ENI_ADDRESS_RESTRICTION", 0)
    t2 = product.capture(product.netns("enis", "t2"))
    client = product.capture(product.netns("enis", "client"))
    in_netns(product.netns("enis", "client"), forge)
    assert product.dropped("enis")["ENI_ADDRESS_RESTRICTION"] == before + 1
    assert not [p for c in (t1, t2, a) for p in c.packets() if p.dport == 4096]
    assert not [p for p in client.packets() if p.dport == 4096 and not p.outgoing]
    for c in (a, t1, t2, client):
        c.close()


@pytest.mark.ids("ENI-16", kind="file")
@pytest.mark.mutant("interface-quota")
def test_5000_a_zone(product):
    """Of all VPCs together; another zone has its own."""
    def many(n, zone):
        def vpc(block, count):
            return {"cidr_block": block + "/16", "subnets": {"s": {"cidr_block": block + "/17"},
                                                             "t": {"cidr_block": block.replace(".0.0", ".128.0") + "/20",
                                                                   "availability_zone": zone}},
                    "network_interfaces": {block[3] + "e%d" % i: {"subnet": "s"} for i in range(count)},
                    "instances": {"last" + block[3]: {"subnet": "t"}}}
        return product.vpclab("-o", "json", "check", product.file(json.dumps(
            {"version": 1, "lab": "many", "vpcs": {"a": vpc("10.1.0.0", n // 2), "b": vpc("10.2.0.0", n - n // 2)}})))
    assert many(4998, "us-east-1a").rc == 0
    assert many(5000, "us-east-1b").rc == 0
    refused = many(4999, "us-east-1a")
    assert refused.rc == 2 and [e["code"] for e in refused.json()["errors"]] == ["NetworkInterfaceLimitExceeded"], refused
