# SPDX-License-Identifier: MIT
"""
Sizes: 9001 inside a VPC, 1500 beyond the internet gateway; who says so to whom; and fragments through the gates.

    pub 10.0.1.0/24: web (203.0.113.5), NAT gateway       priv 10.0.2.0/24: app, function fn (by the NAT gateway)
    via 10.0.3.0/24: far (by box)     dmz 10.0.4.0/24: box (forwards, 203.0.113.9)     api 198.51.100.10 on the internet
"""
import errno
import json
import select
import socket
import struct
import textwrap

import pytest

from product import in_netns, wait_until

API = ("198.51.100.10", 53)
LAB = {
    "version": 1, "lab": "sizes",
    "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["udp/53", "tcp/443"]}}},
    "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16", "internet_gateway": True,
        "subnets": {"pub": {"cidr_block": "10.0.1.0/24", "route_table": "pub"},
                    "priv": {"cidr_block": "10.0.2.0/24", "route_table": "priv"},
                    "via": {"cidr_block": "10.0.3.0/24", "route_table": "via"},
                    "dmz": {"cidr_block": "10.0.4.0/24", "route_table": "pub"}},
        "nat_gateways": {"nat": {"subnet": "pub", "elastic_ip": "203.0.113.10"}},
        "route_tables": {"pub": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                         "priv": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}},
                         "via": {"routes": {"0.0.0.0/0": "instance:box"}}},
        "security_groups": {"none": {"ingress": []},
                            "dns": {"ingress": [{"protocol": "udp", "from_port": 53, "cidr_blocks": ["0.0.0.0/0"]}]},
                            "open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
        "instances": {"web": {"subnet": "pub", "security_groups": ["none"], "elastic_ip": "203.0.113.5"},
                      "app": {"subnet": "priv", "security_groups": ["dns"]},
                      "far": {"subnet": "via", "security_groups": ["none"], "elastic_ip": "203.0.113.8"},
                      "box": {"subnet": "dmz", "security_groups": ["open"], "elastic_ip": "203.0.113.9",
                              "source_dest_check": False, "forward": True}},
    }},
    "functions": {"fn": {"runtime": "exec", "command": ["cat"], "role": "fn",
                         "vpc_config": {"subnets": ["priv"], "security_groups": ["none"]}}},
}

# sends "size" bytes of IP with DF to the address; prints what came back: "answer" or [MTU, who said so]
ASK = textwrap.dedent("""
    import json, select, socket, struct
    def ask(to, size, fragment=False):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IP, 10, 0 if fragment else 2)  # IP_MTU_DISCOVER
        s.setsockopt(socket.IPPROTO_IP, 11, 1)                     # IP_RECVERR
        s.connect(to)
        s.send(bytes(size - 28))
        p = select.poll()
        p.register(s, select.POLLIN)
        if not p.poll(5000):
            return None
        try:
            data, anc, _, _ = s.recvmsg(0, 1000, 0x2000)           # MSG_ERRQUEUE
        except BlockingIOError:
            return "answer"
        told = [c for level, kind, c in anc if (level, kind) == (0, 11)][0]
        return [struct.unpack("=IBBBBII", told[:16])[5], socket.inet_ntoa(told[20:24])]
""")


def ask(product, node, to, size, **kw):
    space = {}
    exec(ASK, space)  # the same text runs in a function's place
    return in_netns(product.netns("sizes", node), lambda: space["ask"](to, size, **kw))


def receiver(product, node, port):
    def make():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", port))
        s.setblocking(False)
        return s
    return in_netns(product.netns("sizes", node), make)


def send(product, node, to, size, fragment=True):
    def do():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IP, 10, 0 if fragment else 2)
        try:
            s.sendto(bytes(size), to)
        finally:
            s.close()
    in_netns(product.netns("sizes", node), do)


def ip_of(product, node):
    return product.show("sizes", "instances/" + node)["private_ip"]


@pytest.mark.asan
@pytest.mark.ids("L2-5")
@pytest.mark.mutant("vpc-mtu")
def test_9001_inside(product):
    """A datagram of 9001 bytes, not to be fragmented, passes between subnets; a larger one doesn't leave its host."""
    product.up(LAB)
    app = ip_of(product, "app")
    with receiver(product, "app", 53) as there:
        send(product, "web", (app, 53), 9001 - 28, fragment=False)
        assert select.select([there], [], [], 5)[0], "9001 bytes didn't arrive"
        assert len(there.recv(10000)) == 9001 - 28
        with pytest.raises(OSError) as e:
            send(product, "web", (app, 53), 9002 - 28, fragment=False)
        assert e.value.errno == errno.EMSGSIZE


@pytest.mark.asan
@pytest.mark.ids("L2-5", "L2-6")
@pytest.mark.mutant("gateway-mtu", "frag-sender")
def test_too_big_for_the_gateway(product):
    """1500 bytes pass; one more is answered by the subnet's router with the gateway's MTU, and doesn't arrive."""
    product.up(LAB)
    there = product.capture(product.netns("sizes", "api"))
    assert ask(product, "web", API, 1500) == "answer"
    assert [len(p.data) for p in there.packets() if not p.outgoing] == [1500]
    product.vpclab("exec", "sizes", "web", "--", "ip", "route", "flush", "cache", check=0)
    assert ask(product, "web", API, 1501) == [1500, "10.0.1.1"]
    # the next is cut by the sender itself, who has learnt it
    assert [p for p in there.packets() if not p.outgoing] == []
    there.close()


@pytest.mark.asan
@pytest.mark.ids("L2-6")
@pytest.mark.mutant("gateway-mtu")
def test_without_df_the_gateway_fragments(product):
    product.up(LAB)
    beyond = product.capture(product.named_netns("sizes", "internet"))
    assert ask(product, "web", API, 4000, fragment=True) == "answer"
    sizes = [len(p.data) for p in beyond.packets() if p.src == "203.0.113.5" and not p.outgoing]
    beyond.close()
    assert len(sizes) == 3 and max(sizes) <= 1500, sizes


@pytest.mark.asan
@pytest.mark.ids("L2-6")
@pytest.mark.mutant("frag-sender")
def test_too_big_behind_an_appliance(product):
    """Past an appliance the sender is told all the same, by the router of its own subnet."""
    product.up(LAB)
    box = product.capture(product.netns("sizes", "box"))
    assert ask(product, "far", API, 1500) == "answer"
    assert ask(product, "far", API, 1501) == [1500, "10.0.3.1"]
    assert [p for p in box.packets() if len(p.data) == 1501 and not p.outgoing], "not by the appliance"
    box.close()


@pytest.mark.asan
@pytest.mark.ids("L2-6", "L2-7")
@pytest.mark.mutant("gateway-mtu", "related")
def test_too_big_behind_a_nat_gateway(product):
    """An instance and a function behind a NAT gateway: told by the gateway's subnet, through both translations."""
    product.up(LAB)
    assert ask(product, "app", API, 1500) == "answer"
    assert ask(product, "app", API, 1501) == [1500, "10.0.1.1"]
    script = ASK + "print(json.dumps([ask(%r, 1500), ask(%r, 1501)]))" % (API, API)
    got = product.vpclab("exec", "sizes", "fn", "--", "/usr/bin/python3", "-c", script, check=0)
    assert json.loads(got.out) == ["answer", [1500, "10.0.1.1"]]


def icmp_too_big(to, flow_from, flow_to, sport, dport):
    """Sends "fragmentation needed" about a datagram; the numbers in it are what a sender would believe."""
    inner = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 1400, 7, 0x4000, 64, 17, 0, socket.inet_aton(flow_from),
                        socket.inet_aton(flow_to)) + struct.pack(">HHHH", sport, dport, 1380, 0)
    body = struct.pack(">BBHHH", 3, 4, 0, 0, 1300) + inner
    total = sum(struct.unpack(">%dH" % (len(body) // 2), body))
    total = (total >> 16) + (total & 0xffff)
    body = body[:2] + struct.pack(">H", ~(total + (total >> 16)) & 0xffff) + body[4:]
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.sendto(body, (to, 0))
    s.close()


@pytest.mark.asan
@pytest.mark.ids("L2-7")
@pytest.mark.mutant("related")
def test_errors_about_tracked_flows_pass(product):
    """No rule lets ICMP in: an error about a flow that the interface tracks passes, one about another doesn't."""
    product.up(LAB)
    web, app = ip_of(product, "web"), ip_of(product, "app")

    def open_flow():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", 5000))
        s.sendto(b"x", (app, 53))
        return s
    with receiver(product, "app", 53) as there, in_netns(product.netns("sizes", "web"), open_flow):
        assert select.select([there], [], [], 5)[0], "the flow isn't there"
        here = product.capture(product.netns("sizes", "web"))
        before = product.dropped("sizes")
        for sport in (5001, 5000):
            in_netns(product.netns("sizes", "app"), lambda port=sport: icmp_too_big(web, web, app, port, 53))
        seen = []
        wait_until(lambda: seen.extend(p for p in here.packets() if p.icmp == (3, 4)) or seen, "the error arrives")
        here.close()
        assert [struct.unpack(">H", p.payload[28:30])[0] for p in seen] == [5000]
        after = product.dropped("sizes")
        rose = {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k, 0)}
        assert rose == {"SG_HAS_NO_RULES": 1}


@pytest.mark.asan
@pytest.mark.ids("SG-1", "L2-6")
@pytest.mark.mutant("ingress-gate")
def test_fragments_pass_the_gates_as_one(product):
    """Datagrams of 20,000 bytes: their later fragments have no ports, and go where the whole one may go."""
    product.up(LAB)
    app = ip_of(product, "app")
    with receiver(product, "app", 53) as allowed, receiver(product, "app", 54) as denied:
        here = product.capture(product.netns("sizes", "app"))
        before = product.dropped("sizes")
        send(product, "web", (app, 54), 20000)
        send(product, "web", (app, 53), 20000)
        assert select.select([allowed], [], [], 5)[0], "what is allowed didn't arrive"
        assert len(allowed.recv(65536)) == 20000
        assert not select.select([denied], [], [], 0)[0]
        got = [len(p.data) for p in here.packets() if not p.outgoing and p.proto == 17]
        here.close()
        assert len(got) == 3 and sum(got) == 20008 + 3 * 20, "fragments of another datagram came along: %r" % got
        after = product.dropped("sizes")
        rose = {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k, 0)}
        assert rose == {"ENI_SG_RULES_MISMATCH": 1}


@pytest.mark.asan
@pytest.mark.ids("L2-6")
@pytest.mark.mutant("nat-source")
def test_fragments_pass_a_nat_gateway(product):
    """20,000 bytes out through two translations and back, in pieces of 1500 beyond the gateway."""
    product.up(LAB)
    beyond = product.capture(product.named_netns("sizes", "internet"))
    assert ask(product, "app", API, 20028, fragment=True) == "answer"
    sizes = [len(p.data) for p in beyond.packets() if p.src == "203.0.113.10" and not p.outgoing]
    beyond.close()
    assert len(sizes) == 14 and max(sizes) <= 1500, sizes
