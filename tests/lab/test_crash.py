# SPDX-License-Identifier: MIT
"""
kill -9 of each daemon and of all: packets flow on through routers and NAT, the next start adopts, gc leaves nothing.
"""
import copy
import os
import select
import signal
import socket
import struct
import threading

import pytest

from product import Product, alive, in_netns, wait_until

LAB = {
    "version": 1, "lab": "crash",
    "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"]}}},
    "vpcs": {"main": {
        "cidr_block": "10.0.0.0/16", "internet_gateway": True,
        "subnets": {"public": {"cidr_block": "10.0.1.0/24", "route_table": "public"},
                    "private": {"cidr_block": "10.0.2.0/24", "route_table": "private"}},
        "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
        "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                         "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
        "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
        "instances": {"app": {"subnet": "private", "security_groups": ["open"]}},
    }},
}
PACKETS = 2000


class Traffic(threading.Thread):
    """1,000 numbered datagrams a second, from sockets that no daemon knows of."""

    def __init__(self, product):
        super().__init__()
        self.inside = in_netns(product.netns("crash", "app"), lambda: socket.socket(
            socket.AF_INET, socket.SOCK_DGRAM))

        def listen():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
            s.bind(("198.51.100.10", 9999))
            s.setblocking(False)
            return s
        self.outside = in_netns(product.netns("crash", "api"), listen)
        self.sent = 0

    def run(self):
        gap = threading.Event()
        for n in range(PACKETS):
            self.inside.sendto(struct.pack(">I", n), ("198.51.100.10", 9999))
            self.sent = n + 1
            gap.wait(0.001)

    def received(self):
        got = set()
        while True:
            try:
                got.add(struct.unpack(">I", self.outside.recv(64))[0])
            except BlockingIOError:
                return got


@pytest.mark.parametrize("victims", [("netd",), ("sandboxd",), ("responder",), ("netd", "sandboxd", "responder")])
def test_packets_flow_on(victims):
    product = Product()
    try:
        product.start()
        product.up(LAB)
        tcp_server = in_netns(product.netns("crash", "api"), lambda: socket.create_server(("198.51.100.10", 8888)))
        tcp = in_netns(product.netns("crash", "app"), lambda: socket.create_connection(("198.51.100.10", 8888), 5))
        peer, address = tcp_server.accept()
        assert address[0] == "203.0.113.10"
        traffic = Traffic(product)
        traffic.start()
        wait_until(lambda: traffic.sent > PACKETS // 4, "a quarter is sent")
        for program in victims:
            kill(product, program)
        tcp.sendall(b"x" * 65536)
        left = 65536
        peer.settimeout(5)
        while left:
            left -= len(peer.recv(65536))
        product.start()
        traffic.join(60)
        got = set()
        wait_until(lambda: got.update(traffic.received()) or len(got) == PACKETS, "all arrived", 5)
        product.up(LAB)
        assert product.probe("crash", "app", "api", "tcp/443")["result"] == "open"
    finally:
        product.close()


def kill(product, program):
    if program != "responder":
        return product.kill(program)
    pid = product.json("daemon", "status")["responder"]["pid"]
    fd = os.pidfd_open(pid)
    signal.pidfd_send_signal(fd, signal.SIGKILL)
    assert select.select([fd], [], [], 10)[0]
    os.close(fd)


def test_a_dead_responder_is_replaced(fresh):
    fresh.start()
    fresh.up(LAB)
    old = fresh.json("daemon", "status")["responder"]["pid"]
    kill(fresh, "responder")
    wait_until(lambda: fresh.json("daemon", "status")["responder"]["pid"] not in (None, 0, old), "another one runs")
    wait_until(lambda: fresh.probe("crash", "app", "api", "tcp/443")["result"] == "open", "servers answer again")


@pytest.mark.mutant("gc-folders")
def test_gc_after_all_died(fresh):
    """Nothing of the labs stays: no mount, no process, no cgroup, no state, no file; and the next start is empty."""
    fresh.start()
    doc = {**copy.deepcopy(LAB), "functions": {"f": {"runtime": "exec", "command": ["cat"]}}}
    doc["vpcs"]["main"]["instances"]["app"]["command"] = ["sleep", "1000"]
    doc["vpcs"]["main"]["flow_logs"] = {"all": {"resource": "vpc", "destination": "all.log"}}
    fresh.up(doc)
    folder = os.path.join(fresh.run, "state", "labs")
    assert os.listdir(folder) == ["crash"]
    fresh.vpclab("invoke", "crash", "f", "--payload", "1", check=0)
    app = fresh.show("crash", "instances/app")["pid"]
    assert alive(app)
    for program in ("responder", "netd", "sandboxd"):
        kill(fresh, program)
    fresh.vpclab("gc", check=0)
    assert not alive(app)
    assert not [m for m in open("/proc/self/mountinfo") if fresh.run in m]
    assert not os.path.exists(folder)
    fresh.start()
    assert fresh.json("ls") == []


def test_a_program_ends_when_the_host_shuts_down(fresh):
    """SIGTERM for all that is left, as systemd sends it once the daemons have stopped; the next start is a fresh one."""
    fresh.start()
    doc = copy.deepcopy(LAB)
    doc["vpcs"]["main"]["instances"]["app"]["command"] = ["sleep", "1000"]
    fresh.up(doc)
    app = fresh.show("crash", "instances/app")["pid"]
    fresh.vpclab("exec", "crash", "app", "--", "sh", "-c", "kill -TERM 1", check=0)
    fresh.kill("sandboxd", signal.SIGTERM)
    fd = os.pidfd_open(app)
    assert not select.select([fd], [], [], 0.2)[0], "the program's own signal ended its init"
    signal.pidfd_send_signal(fd, signal.SIGTERM)
    assert select.select([fd], [], [], 10)[0], "it ignores the host's SIGTERM"
    os.close(fd)
    fresh.start()
    wait_until(lambda: fresh.show("crash", "instances/app")["pid"] not in (None, 0, app), "it runs again")


@pytest.mark.parametrize("n", range(12))
def test_a_daemon_killed_while_it_replaces_the_responder(fresh, n):
    """The kill falls at another moment each time: no responder may be left that nobody knows of."""
    fresh.start()
    fresh.up(LAB)
    pid = fresh.pid("netd")
    fd = os.pidfd_open(pid)
    kill(fresh, "responder")
    threading.Event().wait(n * 0.0004)
    signal.pidfd_send_signal(fd, signal.SIGKILL)
    assert select.select([fd], [], [], 10)[0]
    os.close(fd)
    fresh.kill("sandboxd")
    fresh.vpclab("gc", check=0)
    holders = []
    for process in os.listdir("/proc"):
        try:
            if process.isdigit() and fresh.run in os.readlink("/proc/%s/fd/4" % process):
                holders.append(process)
        except OSError:
            continue
    assert not holders, "responders left: %s" % holders
