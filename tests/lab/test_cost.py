# SPDX-License-Identifier: MIT
"""
What an edit costs the kernel: one transaction, with as many messages in a lab of 300 interfaces as in one of 10. The
kernel itself tells everybody who listens what was changed in a namespace.
"""
import socket
import struct

from product import having, in_netns

NETLINK_NETFILTER = 12
NFTABLES_GROUP = 1 << 6
IPV4_ROUTE_GROUP = 0x40
NEW_GENERATION = 10 << 8 | 15  # NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWGEN: one a transaction

VPC = ("vpcs", "main")
ENTRY = {"rule_number": 10, "rule_action": "allow", "protocol": "-1", "cidr_block": "0.0.0.0/0"}


def lab(n):
    nodes = {"i%d" % i: {"subnet": "s%d" % (i // 200), "security_groups": ["g"]} for i in range(n)}
    nodes["i1"]["security_groups"] = ["g", "few"]
    return {"version": 1, "lab": "cost-%d" % n, "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16",
        "subnets": {"s%d" % i: {"cidr_block": "10.0.%d.0/24" % i, "route_table": "t", "network_acl": "a"}
                    for i in range((n - 1) // 200 + 1)},
        "route_tables": {"t": {"routes": {}}},
        "network_acls": {"a": {"ingress": [ENTRY], "egress": [ENTRY]}},
        "security_groups": {"g": rule(80), "few": rule(90)},
        "instances": nodes}}}


def rule(port):
    return {"ingress": [{"protocol": "tcp", "from_port": port, "cidr_blocks": ["10.0.0.0/16"]}]}


EDITS = {
    "rule": lambda d: having(d, rule(81), *VPC, "security_groups", "g"),
    "join": lambda d: having(d, ["g", "few"], *VPC, "instances", "i0", "security_groups"),
    "route": lambda d: having(d, "blackhole", *VPC, "route_tables", "t", "routes", "192.168.0.0/24"),
    "entry": lambda d: having(d, [ENTRY, dict(ENTRY, rule_number=20)], *VPC, "network_acls", "a", "ingress"),
}


class Ear:
    """What the kernel says was changed in a namespace: transactions, and messages in and beside them."""

    def __init__(self, path):
        def listen(protocol, groups):
            s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            s.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
            s.bind((0, groups))
            s.setblocking(False)
            return s
        self.sockets = in_netns(path, lambda: [listen(NETLINK_NETFILTER, NFTABLES_GROUP),
                                               listen(socket.NETLINK_ROUTE, IPV4_ROUTE_GROUP)])

    def heard(self):
        transactions = messages = 0
        for s in self.sockets:
            while True:
                try:
                    data = s.recv(1 << 20)
                except BlockingIOError:
                    break
                while data:
                    size, kind = struct.unpack_from("=IH", data)
                    transactions += kind == NEW_GENERATION
                    messages += 1
                    data = data[(size + 3) & ~3:]
        return transactions, messages

    def close(self):
        for s in self.sockets:
            s.close()


def costs(product, n):
    doc = lab(n)
    product.up(doc)
    ear = Ear("/proc/%d/root%s/ns/%s/router.main" % (product.pid("netd"), product.run, doc["lab"]))
    got = {}
    for name, edit in EDITS.items():
        ear.heard()
        assert product.up(edit(doc))["changed"], name
        got[name] = ear.heard()
        product.up(doc)
    ear.close()
    product.vpclab("down", doc["lab"], check=0)
    return got


def test_an_edit_is_one_small_transaction_at_any_size_of_the_lab(product):
    small, large = costs(product, 10), costs(product, 300)
    assert small == large
    assert all(transactions <= 1 and 0 < messages < 40 for transactions, messages in small.values()), small
