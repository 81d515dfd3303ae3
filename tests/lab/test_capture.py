# SPDX-License-Identifier: MIT
"""
capture: frames of several namespaces in one stream, as lines or as pcapng, filtered in the kernel; it ends when it is told
to, or when the lab goes. "up --capture": nodes from their first packet on, and those that come later.
"""
import json
import os
import signal
import struct
import subprocess

import pytest

from product import wait_until

LAB = "seen"


def lab():
    return {
        "version": 1, "lab": LAB,
        "internet": {"hosts": {"api": {"ip": "198.51.100.10", "serve": ["tcp/443"]}}},
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16",
            "subnets": {"a": {"cidr_block": "10.0.1.0/24"}},
            "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}},
            "instances": {
                "left": {"subnet": "a", "private_ips": ["10.0.1.10"], "security_groups": ["open"]},
                "right": {"subnet": "a", "private_ips": ["10.0.1.20"], "security_groups": ["open"],
                          "serve": ["tcp/80", "tcp/81"]}},
        }},
        "functions": {"plain": {"runtime": "exec", "command": ["cat"]}},
    }


class Running:
    """A capture that has begun: its sockets are there when it says so."""

    def __init__(self, product, *args):
        self.p = subprocess.Popen([os.path.join(product.build, "vpclab"), "--run-dir", product.run, *args],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.first = self.p.stderr.readline().decode()
        while self.first.startswith("warning"):
            self.first = self.p.stderr.readline().decode()
        assert self.first.startswith("capturing in "), self.first

    def end(self, sig=signal.SIGINT):
        if sig:
            self.p.send_signal(sig)
        out, err = self.p.communicate(timeout=20)
        return self.p.returncode, out, err.decode()


def blocks(data):
    """[(type, body)] of a pcapng file; every length stands before and behind its block."""
    found, at = [], 0
    while at < len(data):
        kind, size = struct.unpack_from("=II", data, at)
        assert size % 4 == 0 and struct.unpack_from("=I", data, at + size - 4)[0] == size
        found.append((kind, data[at + 8:at + size - 4]))
        at += size
    return found


def frames(data):
    """[(name of the interface, frame)] of a pcapng file."""
    names, packets = [], []
    for kind, body in blocks(data):
        if kind == 1:
            code, size = struct.unpack_from("=HH", body, 8)
            assert code == 2
            names.append(body[12:12 + size].decode())
        elif kind == 6:
            number, _, _, size, _ = struct.unpack_from("=IIIII", body)
            packets.append((names[number], body[20:20 + size]))
    return packets


def ports(frame):
    return struct.unpack_from(">HH", frame, 34)


@pytest.mark.asan
@pytest.mark.mutant("capture-filter")
def test_several_nodes_in_one_file_and_nothing_but_the_filter(product, tmp_path):
    product.up(lab())
    path = str(tmp_path / "x.pcapng")
    k = Running(product, "capture", LAB, "left", "router:main", "right", "-w", path, "tcp port 80")
    assert product.probe(LAB, "left", "right", "tcp/81")["result"] == "open"
    assert product.probe(LAB, "left", "right", "tcp/80")["result"] == "open"
    status, out, err = k.end()
    assert status == 0 and not out, err
    with open(path, "rb") as f:
        got = frames(f.read())
    assert "%d captured, 0 dropped by the kernel" % len(got) in err
    assert {n.split(".")[0] for n, _ in got} == {"left", "router", "right"}
    assert all(80 in ports(f) for _, f in got)
    # the SYN in the order of its way, each device by its name
    syn = [n for n, f in got if ports(f)[1] == 80 and f[47] == 2]
    assert [n.split(".")[0] for n in syn] == ["left", "router", "router", "right"]
    assert syn[0].endswith("/eth0") and "/eni-" in syn[1] and syn[1] != syn[2]
    text = subprocess.run(["tcpdump", "-nr", path], capture_output=True, text=True, check=True).stdout
    assert len(text.splitlines()) == len(got) and "10.0.1.10" in text


def test_lines_objects_counts_and_standard_output(product):
    product.up(lab())
    k = Running(product, "capture", LAB, "right", "-c", "1", "tcp", "dst", "port", "80")
    product.probe(LAB, "left", "right", "tcp/80")
    status, out, err = k.end(None)
    line = out.decode()
    assert status == 0 and "1 captured" in err
    assert "/eth0 in 10.0.1.10:" in line and line.endswith(" > 10.0.1.20:80 tcp S, 0 bytes\n"), line
    k = Running(product, "-o", "json", "capture", LAB, "right", "-c", "2", "tcp port 80")
    product.probe(LAB, "left", "right", "tcp/80")
    status, out, _ = k.end(None)
    got = [json.loads(x) for x in out.splitlines()]
    assert status == 0 and [x["direction"] for x in got] == ["in", "out"] and got[1]["packet"].endswith("tcp S., 0 bytes")
    k = Running(product, "capture", LAB, "right", "-w", "-", "-c", "3", "tcp")
    product.probe(LAB, "left", "right", "tcp/80")
    status, out, _ = k.end(None)
    assert status == 0 and len(frames(out)) == 3
    # the time is up
    assert Running(product, "capture", LAB, "right", "--timeout", "0.2").end(None)[0] == 0


def test_a_function_is_seen_where_its_sandboxes_pass(product):
    product.up(lab())
    k = Running(product, "capture", LAB, "plain", "internet", "api", "tcp port 443 and tcp[tcpflags] == tcp-syn")
    assert product.probe(LAB, "plain", "api", "tcp/443")["result"] == "open"
    status, out, _ = k.end(signal.SIGTERM)
    places = [x.split()[1].split("/")[0].split(".")[0] for x in out.decode().splitlines()]
    assert status == 0 and places == ["service", "service", "internet", "internet", "api"], out


@pytest.mark.mutant("capture-stays")
def test_it_ends_with_the_lab(product):
    product.up(lab())
    k = Running(product, "capture", LAB, "left", "right")
    product.vpclab("down", LAB, check=0)
    status, _, err = k.end(None)
    assert status == 0 and "captured" in err


def test_what_is_refused(product, tmp_path):
    product.up(lab())
    assert product.vpclab("capture", LAB).rc == 2
    assert product.vpclab("capture", LAB, "nobody").rc == 3
    r = product.vpclab("capture", LAB, "left", "rihgt")
    assert r.rc == 2 and "neither nodes of lab" in r.err, r
    assert product.vpclab("capture", "none", "left").rc == 3
    assert product.vpclab("capture", LAB, "left", "-c", "0").rc == 2
    assert product.vpclab("capture", LAB, "left", "-w", str(tmp_path / "no" / "x")).rc == 5


def sender(word, *, groups=("open",)):
    """A node that sends one datagram to 10.0.1.20 as its very first deed."""
    program = ("import socket, time; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'%s', ('10.0.1.20', 7));"
               "time.sleep(1000)" % word)
    return {"subnet": "a", "security_groups": list(groups), "command": ["/usr/bin/python3", "-c", program]}


def places(path, word):
    """The namespaces' nodes that a datagram was seen in, in the file's order."""
    with open(path, "rb") as f:
        data = f.read()
    try:
        return [n.split(".")[0] for n, frame in frames(data) if frame[23] == 17 and frame.endswith(word.encode())]
    except struct.error:  # its last block is being written
        return []


@pytest.mark.asan
@pytest.mark.mutant("capture-follow")
def test_up_holds_the_first_packet_of_every_node(product, tmp_path):
    first = lab()
    vpc = first["vpcs"]["main"]
    vpc["security_groups"]["shut"] = {"egress": []}
    vpc["instances"].update(eager=sender("eager"), mute=sender("mute", groups=["shut"]))
    path = str(tmp_path / "x.pcapng")
    k = Running(product, "up", "--capture", path, product.file(json.dumps(first)))
    # what its group keeps from leaving the interface was sent, and never came
    wait_until(lambda: places(path, "eager") == ["eager", "right"], "the first packet was seen at both ends")
    wait_until(lambda: places(path, "mute") == ["mute"], "the one that its group drops was seen where it was sent")
    # nodes that come while it runs, by whomever
    product.vpclab("patch", LAB, json.dumps({"vpcs": {"main": {"instances": {"late": sender("late")}}}}), check=0)
    wait_until(lambda: places(path, "late") == ["late", "right"], "the packets were seen")
    product.vpclab("patch", LAB, json.dumps({"vpcs": {"main": {"instances": {"late": None}}}}), check=0)
    status, out, err = k.end()
    assert status == 0 and out.decode().startswith("seen is up: ") and "0 dropped by the kernel" in err
    assert places(path, "mute") == ["mute"] and places(path, "eager") == ["eager", "right"]
    # and on a lab that is up
    again = Running(product, "up", "--capture", path, "--merge",
                    json.dumps({"vpcs": {"main": {"instances": {"later": sender("later")}}}}), product.file(json.dumps(first)))
    wait_until(lambda: places(path, "later") == ["later", "right"], "the packets were seen")
    product.vpclab("down", LAB, check=0)
    assert again.end(None)[0] == 0
    assert not places(path, "eager")


def test_a_function_that_moves_is_followed(product):
    product.up({**lab(), "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}}})
    k = Running(product, "capture", LAB, "plain", "-c", "1", "tcp dst port 80")
    product.vpclab("patch", LAB, json.dumps({"functions": {"plain": {
        "role": "fn", "vpc_config": {"subnets": ["a"], "security_groups": ["open"]}}}}), check=0)
    assert product.probe(LAB, "plain", "right", "tcp/80")["result"] == "open"
    status, out, _ = k.end(None)
    assert status == 0 and "> 10.0.1.20:80 tcp S" in out.decode(), out


def test_up_that_is_interrupted_or_fails_leaves_what_was_sent(product, tmp_path):
    doc = lab()
    doc["vpcs"]["main"]["instances"]["eager"] = {**sender("eager"), "ready": ["tcp/9"]}
    path = str(tmp_path / "x.pcapng")
    argv = [os.path.join(product.build, "vpclab"), "--run-dir", product.run, "up", "--capture", path]
    with subprocess.Popen([*argv, product.file(doc)], stderr=subprocess.PIPE, text=True) as p:
        wait_until(lambda: os.path.exists(path) and places(path, "eager") == ["eager", "right"], "its packet is in the file")
        p.send_signal(signal.SIGINT)
        assert p.wait(20) == 130
    product.vpclab("down", LAB)
    r = product.vpclab("up", "--timeout", "0.3", "--capture", path, product.file(doc))
    assert r.rc == 5 and "waiting for" in r.err, r
    with open(path, "rb") as f:
        assert blocks(f.read())[0][0] == 0x0a0d0d0a    # whole, whatever was sent until then
    assert product.vpclab("show", LAB).rc == 3


def test_a_capture_goes_on_without_sandboxd(fresh):
    fresh.start()
    fresh.up(lab())
    k = Running(fresh, "capture", LAB, "right", "-c", "2", "tcp port 80")
    fresh.kill("sandboxd")
    fresh.start()
    fresh.probe(LAB, "left", "right", "tcp/80")
    status, _, err = k.end(None)
    assert status == 0 and "sandboxd is gone" in err and "2 captured" in err, err


def test_a_capture_that_cannot_be_written_changes_nothing(product, tmp_path):
    path = product.file(json.dumps(lab()))
    r = product.vpclab("up", "--capture", str(tmp_path / "no" / "x"), path)
    assert r.rc == 5 and "No such file" in r.err, r
    assert product.vpclab("up", "--capture", "-", path).rc == 2
    assert product.vpclab("show", LAB).rc == 3
