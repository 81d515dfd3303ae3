# SPDX-License-Identifier: MIT
"""
Flow logs: every packet is sent by the test itself, and looked up in the records.

    public 10.0.1.0/24: web (tcp/80 let in; elastic 203.0.113.5), NAT gateway
    private 10.0.2.0/24: app     api 198.51.100.10 on the internet
"""
import json
import os
import socket
import threading

import pytest

from product import having, in_netns, wait_until, without

VPC = ("vpcs", "main")
LOGS = VPC + ("flow_logs", )
FIELDS = ("version interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status "
          "vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type "
          "pkt-src-aws-service flow-direction traffic-path reject-reason").split()
FORMAT = " ".join("${%s}" % f for f in FIELDS)
WEB, APP, API = "web", "app", "api"


def lab():
    return {
        "version": 1, "lab": "flows",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443", "udp/53"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                        "private": {"cidr_block": "10.0.2.0/24", "route_table": "private",
                                    "availability_zone": "us-east-1b"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {
                "open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]},
                "web": {"ingress": [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["0.0.0.0/0"]},
                                    {"protocol": "udp", "from_port": 53, "cidr_blocks": ["0.0.0.0/0"]}]}},
            "instances": {
                "web": {"subnet": "public", "security_groups": ["web"], "elastic_ip": "203.0.113.5",
                        "private_ips": ["10.0.1.20"], "serve": ["tcp/80", "tcp/81", "udp/53"]},
                "app": {"subnet": "private", "security_groups": ["open"], "private_ips": ["10.0.2.20"],
                        "serve": ["tcp/80", "udp/53"]}},
            "flow_logs": {"all": {"resource": "vpc", "log_format": FORMAT}},
        }},
    }


def records(product, log=None, lab="flows"):
    """All records with packets until now, the interval ended."""
    out = product.vpclab("-o", "json", "flows", lab, *([log] if log else []), "--now", check=0).out
    return [json.loads(line) for line in out.splitlines()]


def end_intervals(product):
    """Quicker than a client: what packets do meanwhile is what is tried."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.path.join(product.run, "netd.sock"))
        s.sendall(b"GET /v1/labs/flows/flows?close=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert s.recv(12) == b"HTTP/1.1 200"
        while s.recv(1 << 20):
            pass


def ok(product, **want):
    return [r for r in records(product) if r["log_status"] == "OK" and all(r[k] == v for k, v in want.items())]


def eni(product, node, lab="flows"):
    return product.show(lab, "instances/" + node)["network_interface_id"]


def udp(product, node, to, port, n=1, sport=0, size=10, lab="flows", timeout=0):
    """Datagrams from a node; those whose answer is waited for arrived."""
    def send():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", sport))
        for _ in range(n):
            s.sendto(b"x" * size, (to, port))
            if timeout:
                s.settimeout(timeout)
                s.recv(65536)
        used = s.getsockname()[1]
        s.close()
        return used
    return in_netns(product.netns(lab, node), send)


@pytest.mark.asan
@pytest.mark.ids("FL-2", "FL-4")
@pytest.mark.mutant("flow-egress", "flow-ingress")
def test_default_line(product):
    """Version 2, one record a 5-tuple, direction and interface, with the sender's own counts."""
    product.up(without(lab(), *LOGS, "all", "log_format"))
    sport = udp(product, APP, "10.0.1.20", 53, n=5, size=100, timeout=5)
    lines = [line.split() for line in product.vpclab("flows", "flows", "all", "--now", check=0).out.splitlines()]
    assert all(len(x) == 14 for x in lines)
    mine = sorted(x[:10] + x[12:] for x in lines if x[5] == str(sport) or x[6] == str(sport))
    there = ["10.0.2.20", "10.0.1.20", str(sport), "53", "17", "5", "640"]
    app, web = eni(product, APP), eni(product, WEB)
    assert [x for x in mine if x[3] == "10.0.2.20"] == sorted(
        ["2", "123456789012", e] + there + ["ACCEPT", "OK"] for e in (app, web))
    back = [x for x in mine if x[3] == "10.0.1.20"]
    assert sorted(x[2] for x in back) == sorted([app, web]) and {x[8] for x in back} == {"5"}
    assert all(0 <= int(x[11]) - int(x[10]) < 60 for x in lines)


@pytest.mark.ids("FL-3")
@pytest.mark.mutant("flow-version")
def test_fields_of_later_versions(product):
    product.up(lab())
    udp(product, APP, "10.0.1.20", 53, timeout=5)
    one = ok(product, dstport=53, interface_id=eni(product, APP))[0]
    show = product.show("flows")["vpcs"]["main"]
    assert one["version"] == 8
    assert (one["vpc_id"], one["subnet_id"]) == (show["id"], show["subnets"]["private"]["id"])
    assert one["instance_id"] == show["instances"]["app"]["id"]
    assert (one["type"], one["region"], one["az_id"]) == ("IPv4", "us-east-1", "use1-az2")
    assert one["sublocation_type"] is None and one["pkt_src_aws_service"] is None and one["reject_reason"] is None


@pytest.mark.ids("FL-5")
@pytest.mark.mutant("flow-reject", "flow-before-groups", "flow-merge")
def test_accept_and_reject(product):
    """A group that refuses inbound: ACCEPT where it left, REJECT where it didn't enter; and its twin."""
    product.up(lab())
    assert product.probe("flows", APP, WEB, "tcp/81")["result"] == "timeout"
    assert product.probe("flows", APP, WEB, "tcp/80")["result"] == "open"
    got = sorted((r["interface_id"], r["dstport"], r["action"]) for r in ok(product) if r["dstport"] in (80, 81))
    app, web = eni(product, APP), eni(product, WEB)
    assert got == sorted([(app, 81, "ACCEPT"), (web, 81, "REJECT"), (app, 80, "ACCEPT"), (web, 80, "ACCEPT")])


@pytest.mark.ids("FL-5")
@pytest.mark.mutant("flow-reject")
def test_egress_reject(product):
    """What a group doesn't let out is a REJECT there, and nothing elsewhere; also where no route leads."""
    doc = having(lab(), [{"protocol": "tcp", "from_port": 80, "cidr_blocks": ["0.0.0.0/0"]}], *VPC,
                 "security_groups", "open", "egress")
    product.up(doc)
    assert product.probe("flows", APP, WEB, "tcp/81")["result"] == "timeout"
    assert product.probe("flows", APP, "10.0.3.3", "tcp/81")["result"] == "timeout"
    got = sorted((r["interface_id"], r["action"], r["dstaddr"]) for r in ok(product, dstport=81))
    app = eni(product, APP)
    assert got == [(app, "REJECT", "10.0.1.20"), (app, "REJECT", "10.0.3.3")]


@pytest.mark.ids("FL-5", "NACL-11")
@pytest.mark.mutant("flow-reject")
def test_the_list_refuses_an_answer(product):
    """Groups agree, the list doesn't let the answer out: ACCEPT in, REJECT out."""
    doc = having(lab(), {"l": {"ingress": [{"rule_number": 1, "rule_action": "allow", "protocol": "-1",
                                            "cidr_block": "0.0.0.0/0"}], "egress": []}}, *VPC, "network_acls")
    doc = having(doc, "l", *VPC, "subnets", "public", "network_acl")
    product.up(doc)
    assert product.probe("flows", APP, WEB, "tcp/80")["result"] == "timeout"
    web = eni(product, WEB)
    assert {(r["flow_direction"], r["action"]) for r in ok(product, interface_id=web)} == {
        ("ingress", "ACCEPT"), ("egress", "REJECT")}


@pytest.mark.ids("FL-5")
@pytest.mark.mutant("flow-reject")
def test_after_the_connection_closed(product):
    """A late segment of a connection that ended is a REJECT: no rule of web's lets it in any more."""
    doc = having(lab(), ["tcp/80"], *VPC, "instances", "app", "serve")
    product.up(doc)

    def talk():
        s = socket.create_connection(("10.0.2.20", 80), timeout=5)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        port = s.getsockname()[1]
        s.close()  # by a RST: tracking forgets it
        return port
    port = in_netns(product.netns("flows", WEB), talk)

    def late():
        import struct
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        head = struct.pack(">HHIIBBHHH", 80, port, 1, 1, 5 << 4, 0x10, 1024, 0, 0)
        raw.sendto(head, ("10.0.1.20", 0))
        raw.close()
    router = product.named_netns("flows", "router.main")
    wait_until(lambda: "%d" % port not in product.vpclab(
        "exec", "flows", "router:main", "--", "cat", "/proc/net/nf_conntrack").out or True, "tracking forgot")
    assert os.path.exists(router)
    wait_until(lambda: in_netns(product.netns("flows", APP), late) is None and ok(
        product, interface_id=eni(product, WEB), srcport=80, dstport=port, action="REJECT"),
        "a late segment is refused", 30)


@pytest.mark.ids("FL-1")
@pytest.mark.mutant("flow-traffic-type")
def test_scope_and_traffic_type(product):
    """Logs of a subnet, an instance, a NAT gateway; ACCEPT and REJECT apart."""
    logs = {"subnet": {"resource": "subnet:public", "log_format": FORMAT},
            "accept": {"resource": "instance:app", "traffic_type": "ACCEPT", "log_format": FORMAT},
            "reject": {"resource": "instance:web", "traffic_type": "REJECT", "log_format": FORMAT},
            "nat": {"resource": "nat_gateway:nat", "log_format": FORMAT},
            "vpc": {"resource": "vpc", "log_format": FORMAT}}
    product.up(having(lab(), logs, *LOGS))
    assert product.probe("flows", APP, WEB, "tcp/80")["result"] == "open"
    assert product.probe("flows", APP, WEB, "tcp/81")["result"] == "timeout"
    assert product.probe("flows", APP, API, "tcp/443")["result"] == "open"
    app, web = eni(product, APP), eni(product, WEB)
    nat = product.show("flows", "nat_gateways/nat")["network_interface_id"]
    got = {}
    for r in records(product):
        if r["log_status"] == "OK":
            got.setdefault(r["flow_log"], set()).add((r["interface_id"], r["action"]))
    assert got == {"main/subnet": {(web, "ACCEPT"), (web, "REJECT"), (nat, "ACCEPT")},
                   "main/accept": {(app, "ACCEPT")}, "main/reject": {(web, "REJECT")},
                   "main/nat": {(nat, "ACCEPT")},
                   "main/vpc": {(app, "ACCEPT"), (web, "ACCEPT"), (web, "REJECT"), (nat, "ACCEPT")}}


@pytest.mark.ids("FL-1", "FL-6")
@pytest.mark.mutant("flow-primary")
def test_an_interface_of_its_own(product):
    """A log of one interface of an instance with two; its second address shows as its first, the packet's beside it."""
    doc = having(lab(), {"more": {"subnet": "public", "attach_to": "web", "device_index": 1,
                                  "private_ips": ["10.0.1.30", "10.0.1.31"], "security_groups": ["open"]}},
                 *VPC, "network_interfaces")
    doc = having(doc, {"one": {"resource": "network_interface:more", "log_format": FORMAT}}, *LOGS)
    product.up(doc)
    product.probe("flows", APP, "10.0.1.31", "tcp/80")
    product.probe("flows", APP, WEB, "tcp/80")
    got = ok(product, flow_direction="ingress")
    assert {(r["interface_id"], r["dstaddr"], r["pkt_dstaddr"]) for r in got} == {
        (product.show("flows", "network_interfaces/more")["id"], "10.0.1.30", "10.0.1.31")}


@pytest.mark.ids("FL-1", kind="state")
@pytest.mark.mutant("flow-log-edit")
def test_a_log_is_replaced_not_edited(product):
    product.up(lab())
    first = product.show("flows", "flow_logs/all")
    assert (first["state"], first["resource"], first["traffic_type"]) == ("active", "vpc", "ALL")
    change = product.up(having(lab(), "REJECT", *LOGS, "all", "traffic_type"))["changes"]
    assert [(c["action"], c["kind"], c["because"]) for c in change] == [
        ("replace", "flow_log", "traffic_type changed")]
    assert product.show("flows", "flow_logs/all")["id"] != first["id"]


@pytest.mark.ids("FL-4")
@pytest.mark.mutant("flow-interval")
def test_intervals(product):
    """60 s of AWS's time at a scale of 60: records come by themselves, each packet in one of them."""
    doc = having(having(lab(), 60, "time_scale"), 60, *LOGS, "all", "max_aggregation_interval")
    product.up(doc)
    assert product.show("flows", "flow_logs/all")["interval_ms"] == 1000
    assert product.show("flows", "flow_logs/all")["max_aggregation_interval"] == 60

    def mine():
        out = product.vpclab("-o", "json", "flows", "flows", check=0).out.splitlines()
        return [r for r in map(json.loads, out) if r["dstport"] == 53 and r["interface_id"] == app]
    app = eni(product, APP)
    sport = udp(product, APP, "10.0.1.20", 53, n=3, timeout=5)
    wait_until(lambda: sum(r["packets"] for r in mine()) == 3, "the interval is over")
    udp(product, APP, "10.0.1.20", 53, n=2, sport=sport, timeout=5)
    wait_until(lambda: sum(r["packets"] for r in mine()) == 5, "the next is over")
    assert len(mine()) >= 2 and {r["srcport"] for r in mine()} == {sport}
    # unscaled it would be ten minutes
    product.up(without(without(doc, *LOGS, "all", "max_aggregation_interval"), "time_scale"))
    assert product.show("flows", "flow_logs/all")["interval_ms"] == 600000


@pytest.mark.asan
@pytest.mark.ids("FL-6", "FL-7")
@pytest.mark.mutant("flow-primary")
def test_nat_gateway(product):
    """Both legs of the NAT gateway's interface: its private address, never the elastic one, and no instance."""
    product.up(lab())
    assert product.probe("flows", APP, API, "tcp/443")["result"] == "open"
    nat = product.show("flows", "nat_gateways/nat")
    legs = {(r["flow_direction"], r["srcaddr"], r["dstaddr"], r["pkt_srcaddr"], r["pkt_dstaddr"])
            for r in ok(product, interface_id=nat["network_interface_id"])}
    private, api = nat["private_ip"], "198.51.100.10"
    assert legs == {("ingress", "10.0.2.20", private, "10.0.2.20", api), ("egress", private, api, private, api),
                    ("ingress", api, private, api, private), ("egress", private, "10.0.2.20", api, "10.0.2.20")}
    text = json.dumps(records(product))
    assert "203.0.113." not in text
    assert {r["instance_id"] for r in ok(product, interface_id=nat["network_interface_id"])} == {None}


@pytest.mark.ids("FL-8")
@pytest.mark.mutant("flow-tcp-flags")
def test_tcp_flags(product):
    """A connection in one interval: SYN and FIN there, SYN-ACK and FIN back; data alone is 0."""
    product.up(lab())

    def opened():
        s = socket.create_connection(("10.0.1.20", 80), timeout=5)
        s.recv(1000)
        return s
    s = in_netns(product.netns("flows", APP), opened)
    web = eni(product, WEB)
    first = {(r["srcport"], r["dstport"]): r["tcp_flags"] for r in ok(product, interface_id=web)}
    port = s.getsockname()[1]
    assert first == {(port, 80): 2, (80, port): 18}
    last = max(r["end"] for r in ok(product, interface_id=web))
    s.sendall(b"again\n")
    s.recv(1000)
    data = [r for r in ok(product, interface_id=web)][len(first):]
    assert {r["tcp_flags"] for r in data} == {0} and min(r["end"] for r in data) >= last
    s.close()
    wait_until(lambda: [r for r in ok(product, interface_id=web, tcp_flags=1)], "the end is recorded")
    assert product.probe("flows", APP, WEB, "tcp/80")["result"] == "open"
    whole = [r for r in ok(product, interface_id=web) if port not in (r["srcport"], r["dstport"])]
    flags = {}
    for r in whole:
        flags[r["dstport"] == 80] = flags.get(r["dstport"] == 80, 0) | r["tcp_flags"]
    assert flags[True] & 2 and flags[False] & 18 == 18


@pytest.mark.ids("FL-9")
@pytest.mark.mutant("flow-path")
def test_traffic_path(product):
    """1: another resource of the VPC, the NAT gateway too; 8: the internet gateway; ingress has none."""
    product.up(lab())
    assert product.probe("flows", APP, API, "tcp/443")["result"] == "open"
    assert product.probe("flows", WEB, API, "tcp/443")["result"] == "open"
    assert product.probe("flows", APP, WEB, "tcp/80")["result"] == "open"
    app, web = eni(product, APP), eni(product, WEB)
    path = {(r["interface_id"], r["flow_direction"], r["dstaddr"]): r["traffic_path"] for r in ok(product)}
    assert path[(app, "egress", "198.51.100.10")] == 1 and path[(app, "egress", "10.0.1.20")] == 1
    assert path[(web, "egress", "198.51.100.10")] == 8
    assert path[(web, "ingress", "10.0.1.20")] is None


@pytest.mark.ids("FL-10")
@pytest.mark.mutant("flow-nodata")
def test_nodata(product):
    """An interface without traffic in an interval has one record that says so."""
    product.up(lab())
    records(product)
    udp(product, APP, "10.0.1.20", 53, timeout=5)
    before = len(records(product))
    records_now = records(product)[before:]
    assert {r["log_status"] for r in records_now} == {"NODATA"}
    assert {r["interface_id"] for r in records_now} == {e["id"] for e in product.show(
        "flows", "network_interfaces").values()}
    assert all(r["srcaddr"] is None and r["packets"] is None and r["start"] <= r["end"] for r in records_now)
    with_data = {r["interface_id"] for r in records(product) if r["log_status"] == "OK"}
    assert with_data == {eni(product, APP), eni(product, WEB)}


@pytest.mark.ids("FL-11")
@pytest.mark.mutant("flow-never")
def test_what_is_never_logged(product):
    """Instance metadata, the time server, the subnet's router and the VPC's resolver: no record; others: one."""
    doc = having(lab(), ["udp/53"], *VPC, "instances", "app", "serve")
    product.up(doc)
    for node, never in ((WEB, ("169.254.169.254", "169.254.169.123", "10.0.1.1")),
                        (APP, ("169.254.169.254", "169.254.169.253", "10.0.2.1", "10.0.0.2"))):
        for address in never:
            udp(product, node, address, 80)
            udp(product, node, address, 123)
    assert "10.0" in product.vpclab("exec", "flows", APP, "--", "getent", "ahostsv4", "web.main.internal").out
    udp(product, WEB, "10.0.2.20", 53, timeout=5)  # a resolver of one's own
    seen = {(r["srcaddr"], r["dstaddr"]) for r in ok(product)}
    assert seen == {("10.0.1.20", "10.0.2.20"), ("10.0.2.20", "10.0.1.20")}


@pytest.mark.ids("FL-13")
@pytest.mark.mutant("flow-icmp-ports")
def test_icmp_has_no_ports(product):
    """Echo requests with different ids and contents are one record, ports 0 0."""
    product.up(lab())
    for _ in range(3):
        assert product.probe("flows", WEB, APP, "icmp")["result"] == "open"
    out = ok(product, protocol=1, flow_direction="egress", interface_id=eni(product, WEB))
    assert [(r["srcport"], r["dstport"], r["packets"], r["tcp_flags"]) for r in out] == [(0, 0, 3, 0)]


@pytest.mark.ids("M-10", "FL-1")
@pytest.mark.mutant("flow-egress")
def test_functions_interface(product):
    """A function's shared interface: its address, no instance; default mode leaves nothing in the VPC."""
    doc = having(lab(), {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}}, "roles")
    doc = having(doc, {"f": {"runtime": "exec", "command": ["cat"], "role": "fn", "vpc_config": {
        "subnets": ["private"], "security_groups": ["open"]}}, "plain": {"runtime": "exec", "command": ["cat"]}},
        "functions")
    doc = having(doc, {"f": {"resource": "function:f", "log_format": FORMAT}}, *LOGS)
    product.up(doc)
    assert product.probe("flows", "f", WEB, "tcp/80")["result"] == "open"
    assert product.probe("flows", "plain", API, "tcp/443")["result"] == "open"
    assert product.probe("flows", APP, WEB, "tcp/80")["result"] == "open"
    ids = product.show("flows", "functions/f")["network_interfaces"]
    address = product.show("flows", "network_interfaces/" + ids[0])["private_ip"]
    got = ok(product)
    assert {r["interface_id"] for r in got} == set(ids) and {r["instance_id"] for r in got} == {None}
    assert {(r["flow_direction"], r["srcaddr"], r["dstaddr"]) for r in got} == {
        ("egress", address, "10.0.1.20"), ("ingress", "10.0.1.20", address)}


@pytest.mark.ids("FL-4")
@pytest.mark.mutant("flow-drain")
def test_many_flows_are_counted_exactly(product):
    """5,000 flows: as many records as the sender made, and its sums of packets and bytes."""
    product.up(having(lab(), {"app": {"resource": "instance:app", "log_format": FORMAT,
                                      "destination": "app.log"}}, *LOGS))

    def send():
        n = total = 0
        for port in range(20000, 25000):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("", port))
            for _ in range(1 + port % 3):
                s.sendto(b"x" * (port % 100), ("10.0.1.20", 5300))
                n += 1
                total += 28 + port % 100
            s.close()
        return n, total
    n, total = in_netns(product.netns("flows", APP), send)
    got = ok(product, dstport=5300)
    assert (len(got), sum(r["packets"] for r in got), sum(r["bytes"] for r in got)) == (5000, n, total)
    with open(product.show("flows", "flow_logs/app")["destination"]) as f:
        lines = [line for line in f.read().splitlines() if " 5300 " in line]
    assert len(lines) == 5000 == len(set(lines))


@pytest.mark.ids("FL-4", "FL-12")
@pytest.mark.mutant("flow-turn", "flow-empty")
def test_counted_once_while_they_are_read(product):
    """Packets go on while the records are read again and again: in the end each packet is in one record."""
    product.up(having(lab(), {"app": {"resource": "instance:app", "log_format": FORMAT}}, *LOGS))
    sent, stop = [0] * 40, threading.Event()

    def send():
        socks = []
        for port in range(30000, 30040):
            socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            socks[-1].bind(("", port))
        while not stop.is_set():
            for i, s in enumerate(socks):
                s.sendto(b"x", ("10.0.1.20", 5300))
                sent[i] += 1
    sender = threading.Thread(target=in_netns, args=(product.netns("flows", APP), send))
    sender.start()
    try:
        for _ in range(80):
            end_intervals(product)
    finally:
        stop.set()
        sender.join()
    end_intervals(product)
    got = [0] * 40
    for r in ok(product, dstport=5300):
        got[r["srcport"] - 30000] += r["packets"]
    assert got == sent and min(sent) > 100


@pytest.mark.ids("FL-4")
@pytest.mark.mutant("flow-last")
def test_a_foreign_commit_loses_no_count(product):
    """Tables that a repair writes anew had counted: it is in the records, once."""
    product.up(lab())
    udp(product, APP, "10.0.1.20", 53, n=3, sport=4445, timeout=5)
    product.vpclab("exec", "flows", "router:main", "--", "nft", "add", "table", "ip", "strange")
    wait_until(lambda: "strange" not in product.vpclab(
        "exec", "flows", "router:main", "--", "nft", "list", "tables").out, "the table is gone")
    udp(product, APP, "10.0.1.20", 53, n=2, sport=4445, timeout=5)
    mine = [r["packets"] for r in ok(product, srcport=4445, interface_id=eni(product, APP))]
    assert sum(mine) == 5 and "SKIPDATA" not in {r["log_status"] for r in records(product)}


@pytest.mark.ids("FL-10")
@pytest.mark.mutant("flow-skipdata")
def test_a_full_set_says_skipdata(fresh):
    """More flows than the router's set holds: those that are recorded are right, and SKIPDATA says that some aren't."""
    build = os.path.join(fresh.build, "testing") if os.path.basename(fresh.build) == "build" else fresh.build
    if not os.path.exists(os.path.join(build, "netd")):
        pytest.skip("needs a build that can be told to have little room (make TESTING=1)")
    fresh.build = build
    os.environ["VPCLAB_FLOW_SET_SIZE"] = "64"
    try:
        fresh.start()
    finally:
        del os.environ["VPCLAB_FLOW_SET_SIZE"]
    fresh.up(lab())

    def send():
        for port in range(20000, 20200):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.bind(("", port))
            s.sendto(b"x", ("10.0.1.20", 5300))
            s.close()
    in_netns(fresh.netns("flows", APP), send)
    got = records(fresh)
    mine = [r for r in got if r["interface_id"] == eni(fresh, APP)]
    assert [r["log_status"] for r in mine if r["log_status"] != "OK"] == ["SKIPDATA"]
    assert 0 < len([r for r in mine if r["log_status"] == "OK"]) < 200
    again = records(fresh)[len(got):]
    assert {r["log_status"] for r in again} == {"NODATA"}, "nothing was skipped since"


@pytest.mark.ids("FL-10")
@pytest.mark.mutant("flow-skipdata")
def test_a_killed_daemon(fresh):
    """What nobody had read is there for the next daemon; what one had read and not written is SKIPDATA."""
    fresh.start()
    fresh.up(having(lab(), "all.log", *LOGS, "all", "destination"))
    udp(fresh, APP, "10.0.1.20", 53, n=4, sport=4444, timeout=5)
    fresh.kill("netd")
    fresh.start()
    got = records(fresh)
    mine = [r["packets"] for r in got if r["srcport"] == 4444 and r["flow_direction"] == "egress"]
    assert mine and set(mine) == {4}
    assert "SKIPDATA" not in {r["log_status"] for r in got}
    path = fresh.show("flows", "flow_logs/all")["destination"]
    folder = os.path.dirname(path)
    fresh.kill("netd")
    with open(os.path.join(folder, ".flows"), "w") as f:
        f.write("1")  # as it is between two reads of an interval
    fresh.start()
    assert {r["log_status"] for r in records(fresh)} == {"SKIPDATA"}
    fresh.vpclab("down", "flows", check=0)
    assert not os.path.exists(folder)


@pytest.mark.ids("FL-12", kind="state")
@pytest.mark.mutant("flow-no-logs")
def test_without_logs_nothing_is_counted(product):
    """A VPC without flow logs has none of their sets and chains; one with some has them in its router alone."""
    def tables(ns):
        return product.vpclab("exec", "flows", ns, "--", "nft", "list", "table", "ip", "vpc").out
    product.up(without(lab(), *LOGS))
    assert "flow" not in tables("router:main")
    product.up(lab())
    assert "set flows" in tables("router:main")


@pytest.mark.mutant("expect-flow-fields", "expect-flow-action")
def test_expectations(product):
    """A record can be expected; it may take until "within" is over, and a missing one fails."""
    doc = having(lab(), [
        {"from": "app", "to": "web", "port": "tcp/81", "result": "timeout"},
        {"flow": {"srcaddr": "10.0.2.20", "dstport": 81, "interface_id": None}, "action": "REJECT"},
        {"flow": {"srcaddr": "10.0.2.20", "dstport": 82}, "action": "REJECT", "name": "no port"},
        {"flow": {"dstport": 81, "flow_direction": "ingress"}, "action": "ACCEPT", "name": "no action"}], "expect")
    del doc["expect"][1]["flow"]["interface_id"]
    out = product.json("test", product.file(doc), check=1)
    assert [r["ok"] for r in out["results"]] == [True, True, False, False]
    assert "nearest" in out["results"][2]["message"]
    assert out["results"][1]["got"]["action"] == "REJECT"
