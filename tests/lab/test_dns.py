# SPDX-License-Identifier: MIT
"""
The resolver at base+2 and 169.254.169.253: subject to no group, present in a sealed VPC, two views of a name.
"""
import pytest

from product import having

VPC = ("vpcs", "main")


def lab():
    return {
        "version": 1, "lab": "dns",
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"], "dns_names": ["api.example.com"]}}},
        "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
        "vpcs": {
            "main": {
                "cidr_block": "10.0.0.0/16", "enable_dns_hostnames": True, "internet_gateway": True,
                "subnets": {"one": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                            "sealed": {"cidr_block": "10.0.2.0/24"}},
                "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}}},
                "security_groups": {"none": {"egress": []},
                                    "open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
                "instances": {
                    "quiet": {"subnet": "sealed", "security_groups": ["none"]},
                    "web": {"subnet": "one", "security_groups": ["open"], "elastic_ip": "203.0.113.5",
                            "serve": ["tcp/80"], "private_ips": ["10.0.1.10"]}},
            },
            "other": {"cidr_block": "10.0.0.0/16", "subnets": {"one": {"cidr_block": "10.0.1.0/24"}},
                      "instances": {"o": {"subnet": "one"}}},
        },
        "functions": {
            "sealed": {"runtime": "exec", "command": ["cat"], "role": "fn",
                       "vpc_config": {"vpc": "main", "subnets": ["sealed"], "security_groups": ["none"]}},
            "plain": {"runtime": "exec", "command": ["cat"]}},
    }


LOOKUP = """
import socket, struct, sys
server, name, kind = sys.argv[1], sys.argv[2], int(sys.argv[3])
q = struct.pack(">HHHHHH", 77, 0x100, 1, 0, 0, 0)
q += b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\\0" + struct.pack(">HH", kind, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1.5); s.connect((server, 53)); s.send(q)
try: a = s.recv(4096)
except socket.timeout: print("timeout"); sys.exit()
rcode, n = a[3] & 15, struct.unpack(">H", a[6:8])[0]
got, at = [], len(q)
for i in range(n):
    while a[at] and a[at] < 192: at += a[at] + 1
    at += 2 if a[at] >= 192 else 1
    t, c, ttl, size = struct.unpack(">HHIH", a[at:at + 10]); at += 10
    if t == 1: got.append(socket.inet_ntoa(a[at:at + 4]))
    at += size
print(rcode, *got)
"""


def lookup(product, node, name, server="169.254.169.253", kind=1):
    return product.vpclab("exec", "dns", node, "--", "/usr/bin/python3", "-c", LOOKUP, server, name,
                          str(kind), check=0).out.strip()


@pytest.mark.asan
@pytest.mark.ids("DNS-1", "DNS-7", "DNS-11", "SG-14")
@pytest.mark.mutant("dns-exemption")
@pytest.mark.parametrize("server", ["10.0.0.2", "169.254.169.253"])
@pytest.mark.parametrize("node", ["quiet", "sealed"])
def test_sealed_with_no_egress_rule_still_resolves(product, node, server):
    """Public names too: the name resolves, the connection hangs."""
    product.up(lab())
    assert lookup(product, node, "api.example.com", server) == "0 198.51.100.10"
    assert product.probe("dns", node, "api.example.com", "tcp/443")["result"] == "timeout"


@pytest.mark.asan
@pytest.mark.ids("DNS-4", "DNS-5")
@pytest.mark.mutant("dns-views")
def test_names_and_split_horizon(product):
    product.up(lab())
    assert lookup(product, "quiet", "web.main.internal") == "0 10.0.1.10"
    assert lookup(product, "quiet", "ip-10-0-1-10.ec2.internal") == "0 10.0.1.10"
    assert lookup(product, "quiet", "ec2-203-0-113-5.compute-1.amazonaws.com") == "0 10.0.1.10"
    assert lookup(product, "plain", "ec2-203-0-113-5.compute-1.amazonaws.com") == "0 203.0.113.5"
    assert lookup(product, "quiet", "nothing.example.com") == "3"
    assert lookup(product, "quiet", "api.example.com", kind=28) == "0"


@pytest.mark.ids("DNS-1", "ENI-17")
def test_each_vpc_has_its_own(product):
    product.up(lab())
    assert lookup(product, "o", "web.main.internal") == "3"
    assert lookup(product, "o", "o.other.internal") != "3"


@pytest.mark.ids("DNS-2")
@pytest.mark.mutant("dns-support")
def test_support_switched_off(product):
    product.up(having(lab(), False, *VPC, "enable_dns_support"))
    assert lookup(product, "quiet", "api.example.com") == "timeout"
    product.up(lab())
    assert lookup(product, "quiet", "api.example.com") == "0 198.51.100.10"


@pytest.mark.ids("DNS-3", "DNS-4")
@pytest.mark.mutant("dns-hostnames")
def test_hostnames_switched_off(product):
    product.up(having(lab(), False, *VPC, "enable_dns_hostnames"))
    assert lookup(product, "quiet", "ec2-203-0-113-5.compute-1.amazonaws.com") == "3"
    assert lookup(product, "quiet", "ip-10-0-1-10.ec2.internal") == "3"
    assert lookup(product, "quiet", "web.main.internal") == "0 10.0.1.10"


@pytest.mark.ids("DNS-4", "DNS-5")
@pytest.mark.mutant("dns-hostnames")
def test_names_of_another_region(product):
    doc = having(lab(), "eu-west-1", "region")
    product.up(doc)
    assert lookup(product, "quiet", "ip-10-0-1-10.eu-west-1.compute.internal") == "0 10.0.1.10"
    assert lookup(product, "plain", "ec2-203-0-113-5.eu-west-1.compute.amazonaws.com") == "0 203.0.113.5"
    assert lookup(product, "quiet", "ip-10-0-1-10.ec2.internal") == "3"
    product.up(having(doc, False, *VPC, "enable_dns_hostnames"))
    assert lookup(product, "plain", "ec2-203-0-113-5.eu-west-1.compute.amazonaws.com") == "3"


ZONE = {"db.corp": "10.0.1.10", "alias.corp": "CNAME:API.example.com", "far.corp": "CNAME:alias.corp",
        "round.corp": "CNAME:trip.corp", "trip.corp": "CNAME:round.corp", "api.other.example": "10.0.2.99"}


@pytest.mark.asan
@pytest.mark.ids("DNS-3")
@pytest.mark.mutant("private-zone")
def test_a_private_zone(product):
    """Its names resolve inside its VPC alone, whatever the case; aliases end somewhere; a change is a change of the VPC."""
    doc = having(lab(), ZONE, *VPC, "private_zone")
    product.up(doc)
    assert lookup(product, "quiet", "DB.corp") == "0 10.0.1.10"
    assert lookup(product, "quiet", "far.corp") == "0 198.51.100.10"
    assert lookup(product, "quiet", "round.corp") == "2"
    assert lookup(product, "quiet", "corp") == "0" and lookup(product, "quiet", "no.corp") == "3"
    for outside in ("o", "plain"):
        assert lookup(product, outside, "db.corp") == "3"
    assert product.json("why", "dns", "sealed", "far.corp", "tcp/443")["address"] == "198.51.100.10"
    changed = having(doc, "10.0.2.77", *VPC, "private_zone", "api.example.com")
    assert [(c["action"], c["kind"], c["because"]) for c in product.up(changed)["changes"]] == [
        ("update", "vpc", "private_zone changed")]
    assert lookup(product, "quiet", "api.example.com") == "0 10.0.2.77"
    assert lookup(product, "plain", "api.example.com") == "0 198.51.100.10"


@pytest.mark.ids("DNS-3")
@pytest.mark.mutant("dns-hostnames")
def test_a_private_zone_needs_both_attributes(product):
    doc = having(having(lab(), ZONE, *VPC, "private_zone"), False, *VPC, "enable_dns_hostnames")
    assert [w["code"] for w in product.up(doc)["warnings"]] == ["private-zone-without-dns"]
    assert lookup(product, "quiet", "db.corp") == "3"


def test_only_recursive_queries_are_served(product):
    """Others are refused, with an answer that says so."""
    product.up(lab())
    asks = LOOKUP.replace("77, 0x100,", "77, 0,")
    out = product.vpclab("exec", "dns", "quiet", "--", "/usr/bin/python3", "-c", asks, "10.0.0.2", "api.example.com", "1",
                         check=0).out.strip()
    assert out == "5"
    assert lookup(product, "quiet", "api.example.com", "10.0.0.2") == "0 198.51.100.10"


BURST = """
import socket, time
q = bytes.fromhex("004d01000001000000000000037765620 46d61696e08696e7465726e616c0000010001".replace(" ", ""))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.0.0.2", 53))
t = time.monotonic()
for i in range(5000): s.send(q)
print(time.monotonic() - t)
"""


@pytest.mark.ids("DNS-6")
@pytest.mark.mutant("dns-rate")
def test_a_burst_of_one_interface(product):
    """1,024 packets a second pass, the rest is dropped and counted at that interface; another isn't concerned."""
    code = "linklocal_allowance_exceeded"

    def dropped(node):
        eni = product.show("dns", "instances/" + node)["network_interface_id"]
        return next(e for e in product.show("dns", "network_interfaces").values()
                    if e["id"] == eni)["counters"]["dropped"].get(code, 0)
    product.up(lab())
    took = float(product.vpclab("exec", "dns", "quiet", "--", "/usr/bin/python3", "-c", BURST, check=0).out)
    passed = 5000 - dropped("quiet")
    assert 1000 <= passed <= 1024 * (took + 1) + 50, (passed, took)
    assert lookup(product, "web", "api.example.com") == "0 198.51.100.10" and dropped("web") == 0


@pytest.mark.ids("VPC-10", "DNS-1")
@pytest.mark.mutant("resolver-address")
def test_only_the_vpcs_base_plus_two_answers(product):
    product.up(lab())
    assert lookup(product, "quiet", "api.example.com", "10.0.2.2") == "timeout"
    assert lookup(product, "quiet", "api.example.com", "10.0.0.2") == "0 198.51.100.10"


@pytest.mark.ids("M-9", "DNS-8")
@pytest.mark.mutant("default-resolver")
def test_default_mode_does_not_use_a_vpcs_resolver(product):
    product.up(lab())
    assert lookup(product, "plain", "api.example.com") == "0 198.51.100.10"
    assert lookup(product, "plain", "web.main.internal") == "3"
    assert lookup(product, "plain", "api.example.com", "10.0.0.2") == "timeout"
