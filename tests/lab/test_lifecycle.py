# SPDX-License-Identifier: MIT
"""
The life of functions' network: interfaces that linger, ways that change under running code, and what is told of it.

    small 10.0.1.0/28 (11 addresses)    other 10.0.2.0/24    api 198.51.100.10
"""
import json
import os
import re
import socket
import subprocess
import time

import pytest

from product import Unix, having, in_netns, wait_until, without

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


# ---- states: what is seen between the beginning and the end of a change

class Gate:
    """An instance that is ready when the test says so, and the "up" that waits for it."""

    NODE = {"subnet": "other", "command": ["/usr/bin/python3", "-c", (
        "import socket, signal; g = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); g.bind(('127.0.0.1', 9)); g.recv(1); "
        "s = socket.create_server(('', 81)); signal.pause()")], "ready": ["tcp/81"]}

    def __init__(self, product, doc, *options):
        self.product = product
        doc = having(doc, self.NODE, "vpcs", "main", "instances", "gate")
        self.up = subprocess.Popen([product.build + "/vpclab", "--run-dir", product.run, "-o", "json", "up", *options,
                                    product.file(doc)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def open(self):
        """Returns what "up" printed."""
        top = self.product.named_netns("life", "")

        def knock():
            for ns in os.listdir(top):
                if ns.startswith("gate."):
                    in_netns(top + ns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)))
            return self.up.poll() is not None
        wait_until(knock, "the gate is open")
        return self.up.communicate()


def call(product, method, path, body=None):
    """(status, error type, document) of AWS's API."""
    c = Unix(product.run + "/sandboxd.sock")
    c.request(method, "/2015-03-31/functions/" + path, body, {"X-Vpclab-Lab": "life"})
    r = c.getresponse()
    return r.status, r.getheader("x-amzn-ErrorType"), json.loads(r.read())


def state(product, name):
    """{member: value} of all that begins with State or LastUpdate; None: there is no such function."""
    status, _, o = call(product, "GET", name + "/configuration")
    return {k: v for k, v in o.items() if k.startswith(("State", "LastUpdate"))} if status == 200 else None


CREATING = "The function is being created."
WHO = ["/usr/bin/python3", "-c", """
import json, socket, sys
event = json.load(sys.stdin)
def seen(port):
    s = socket.create_connection(("10.0.2.10", port), 5)
    s.settimeout(20)
    return s
if event.get("held"):
    seen(7000).recv(1)
    seen(7000)
print(json.dumps({"code": CODE, "from": json.loads(seen(5432).recv(200))["from"]}))
"""]


def who(code):
    return [*WHO[:2], WHO[2].replace("CODE", str(code))]


@pytest.mark.ids("LN-22", "LN-23", "LN-25", "LN-26", kind="state")
@pytest.mark.mutant("pending-invoke")
def test_a_new_function_is_pending(product):
    product.up(without(lab(), "functions", "a"))
    gate = Gate(product, lab())
    wait_until(lambda: state(product, "a"), "the function is there")
    assert state(product, "a") == {"State": "Pending", "StateReason": CREATING, "StateReasonCode": "Creating"}
    assert state(product, "b") == {"State": "Active", "LastUpdateStatus": "Successful"}
    status, kind, o = call(product, "POST", "a/invocations", "{}")
    assert (status, kind, o["Message"]) == (
        409, "ResourceConflictException",
        "The operation cannot be performed at this time. The function is currently in the following state: Pending")
    wait_until(lambda: "10.0.1.4" in interfaces(product), "its interface is there before it is invoked")
    assert product.show("life", "functions/a")["state"] == "Pending"
    assert call(product, "POST", "b/invocations", "1")[::2] == (200, 1)
    gate.open()
    assert gate.up.returncode == 0
    assert state(product, "a") == {"State": "Active", "LastUpdateStatus": "Successful"}
    assert call(product, "POST", "a/invocations", "1")[::2] == (200, 1)


@pytest.mark.ids("LN-24", "LN-25", kind="packet")
@pytest.mark.mutant("update-hold", "update-in-progress")
def test_an_update_serves_the_old_code_on_the_old_way(product):
    """Until it is through; who runs on the old way by then ends there, and then its interface goes."""
    old = having(lab(), function("small", command=who(1)), "functions", "a")
    product.up(old)
    first = interfaces(product)["10.0.1.4"]["id"]
    listener = in_netns(product.netns("life", "db"), lambda: socket.create_server(("10.0.2.10", 7000)))
    listener.settimeout(20)
    gate = Gate(product, having(old, function("other", ["spare"], command=who(2)), "functions", "a"))
    wait_until(lambda: state(product, "a").get("LastUpdateStatus") == "InProgress", "the update is under way")
    assert state(product, "a") == {"State": "Active", "LastUpdateStatus": "InProgress", "LastUpdateStatusReason": CREATING,
                                   "LastUpdateStatusReasonCode": "Creating"}
    wait_until(lambda: len(interfaces(product)) == 3, "its new interface is there")
    shown = product.show("life", "functions/a")
    assert (shown["state"], shown["last_update_status"]) == ("Active", "InProgress")
    held = subprocess.Popen([product.build + "/vpclab", "--run-dir", product.run, "invoke", "life", "a", "--payload",
                             '{"held": true}'], stdout=subprocess.PIPE, text=True)
    connection, peer = listener.accept()
    assert peer[0] == "10.0.1.4"
    assert call(product, "POST", "a/invocations", "{}")[::2] == (200, {"code": 1, "from": "10.0.1.4"})
    gate.open()
    assert gate.up.returncode == 0
    assert state(product, "a") == {"State": "Active", "LastUpdateStatus": "Successful"}
    now = call(product, "POST", "a/invocations", "{}")[2]
    assert now["code"] == 2 and now["from"].startswith("10.0.2.")
    connection.send(b"x")
    assert listener.accept()[1][0] == "10.0.1.4"
    assert json.loads(held.communicate()[0]) == {"code": 1, "from": "10.0.1.4"}
    wait_until(lambda: first not in [e["id"] for e in interfaces(product).values()], "the old interface is gone")
    listener.close()


@pytest.mark.ids("LN-24", "LN-27", kind="state")
@pytest.mark.mutant("update-failed")
def test_an_update_that_fails_leaves_what_was(product):
    full = having(lab(), function("other", command=who(1)), "functions", "a")
    for i in range(11):
        full = having(full, {"subnet": "small"}, "vpcs", "main", "instances", "i%d" % i)
    product.up(full)
    before = product.show("life", "functions/a")["network_interfaces"]
    moved = having(full, function(["other", "small"], command=who(2)), "functions", "a")
    error = refused(product, moved)
    assert (error["code"], error["path"]) == ("InsufficientFreeAddressesInSubnet", "functions.a")
    got = state(product, "a")
    assert "no available IP addresses" in got.pop("LastUpdateStatusReason")
    assert got == {"State": "Active", "LastUpdateStatus": "Failed", "LastUpdateStatusReasonCode": "SubnetOutOfIPAddresses"}
    assert product.show("life", "functions/a")["network_interfaces"] == before
    assert call(product, "POST", "a/invocations", "{}")[2]["code"] == 1
    assert state(product, "b") == {"State": "Active", "LastUpdateStatus": "Successful"}
    product.up(without(moved, "vpcs", "main", "instances", "i0"))
    assert state(product, "a") == {"State": "Active", "LastUpdateStatus": "Successful"}
    assert call(product, "POST", "a/invocations", "{}")[2]["code"] == 2
    # a program that never is ready: nothing is wrong with the function, and it is as it was
    never = having(having(moved, function("other", command=who(3)), "functions", "a"),
                   {"subnet": "other", "command": ["sleep", "1000"], "ready": ["tcp/81"], "ready_timeout": 0.2},
                   "vpcs", "main", "instances", "i0")
    assert refused(product, never)["code"] == "Timeout"
    assert state(product, "a")["LastUpdateStatusReasonCode"] == "InternalError"
    assert call(product, "POST", "a/invocations", "{}")[2]["code"] == 2


@pytest.mark.ids("LN-27", "LN-40", kind="state")
@pytest.mark.mutant("function-without-address")
def test_a_function_without_an_address_has_failed(product):
    """One good subnet doesn't help it.  The lab comes up, with a warning."""
    doc = having(lab(), function(["other", "small"], ["spare"]), "functions", "a")
    for i in range(11):
        doc = having(doc, {"subnet": "small"}, "vpcs", "main", "instances", "i%d" % i)
    warnings = product.up(doc)["warnings"]
    assert ("functions.a", "SubnetOutOfIPAddresses") in [(w["path"], w["code"]) for w in warnings]
    got = state(product, "a")
    assert "no available IP addresses" in got["StateReason"]
    assert (got["State"], got["StateReasonCode"]) == ("Failed", "SubnetOutOfIPAddresses")
    shown = product.show("life", "functions/a")
    assert (shown["state"], shown["state_reason_code"], shown["network_interfaces"]) == ("Failed", "SubnetOutOfIPAddresses", [])
    assert call(product, "POST", "a/invocations", "{}")[:2] == (502, "SubnetIPAddressLimitReachedException")
    r = product.vpclab("probe", "life", "a", "db", "tcp/5432")
    assert "has failed (SubnetOutOfIPAddresses)" in r.out + r.err, r
    assert "SubnetOutOfIPAddresses" in product.vpclab("why", "life", "a", "db", "tcp/5432").err
    product.up(without(doc, "vpcs", "main", "instances", "i0"))
    assert state(product, "a")["State"] == "Active"
    assert call(product, "POST", "a/invocations", "1")[::2] == (200, 1)


@pytest.mark.ids("LN-32", kind="state")
@pytest.mark.mutant("pending-long")
def test_a_change_ends_one_that_is_pending_too_long(product):
    """6 minutes, by a lab's time 0.1 s."""
    doc = lab(time_scale=3600)
    gate = Gate(product, doc, "--timeout", "600")
    wait_until(lambda: state(product, "a"), "the function is there")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 0.11, "6 minutes of AWS time are over")
    r = product.vpclab("up", product.file(doc), timeout=15)
    assert r.rc == 0 and json.loads(gate.up.communicate()[1])["error"]["code"] == "Cancelled"
    assert state(product, "a")["State"] == "Active"


@pytest.mark.ids("LN-39", kind="state")
@pytest.mark.mutant("vpc-config")
def test_what_get_function_tells_of_its_network(product):
    product.up(having(lab(), function(["small", "other"], ["fn", "spare"]), "functions", "a"))
    vpc = product.show("life")["vpcs"]["main"]
    assert call(product, "GET", "a")[2]["Configuration"]["VpcConfig"] == {
        "SubnetIds": [vpc["subnets"][s]["id"] for s in ("small", "other")],
        "SecurityGroupIds": [vpc["security_groups"][g]["id"] for g in ("fn", "spare")],
        "VpcId": vpc["id"], "Ipv6AllowedForDualStack": False}


WAITERS = """
import boto3, json, os
c = boto3.client("lambda", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
for name, function in [("function_active_v2", "a"), ("function_updated_v2", "b")]:
    before = c.get_function(FunctionName=function)["Configuration"]
    print(before["State"], before.get("LastUpdateStatus"), flush=True)
    c.get_waiter(name).wait(FunctionName=function, WaiterConfig={"Delay": 0, "MaxAttempts": 100000})
    after = c.get_function(FunctionName=function)["Configuration"]
    print(after["State"], after["LastUpdateStatus"], flush=True)
"""


@pytest.mark.ids("LN-22", "LN-24", "LN-26", kind="state")
@pytest.mark.mutant("update-in-progress")
def test_boto3_waits_for_functions(fresh):
    fresh.vpclab("daemon", "start", "--listen", "127.0.0.1:0", check=0)
    doc = having(lab(), function("other", timeout=31), "functions", "b")
    fresh.up(without(lab(), "functions", "a"))
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **fresh.json("env", "life")}
    gate = Gate(fresh, doc)
    wait_until(lambda: state(fresh, "a"), "the function is there")
    run = subprocess.Popen(["/usr/bin/python3", "-c", WAITERS], env=env, stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "Pending None\n"
    assert state(fresh, "b")["LastUpdateStatus"] == "InProgress"
    gate.open()
    assert run.communicate()[0].split("\n")[0] == "Active Successful" and run.returncode == 0


# ---- what is told of its interface, and AWS's own endpoint

@pytest.mark.ids("LN-42", kind="state")
@pytest.mark.mutant("lambda-attachment")
def test_what_is_told_of_a_functions_interface(product):
    product.up(lab())
    got = interfaces(product)["10.0.1.4"]
    told = {k: got[k] for k in ("interface_type", "status", "requester_managed", "source_dest_check", "public_ip", "owner")}
    assert told == {"interface_type": "lambda", "status": "in-use", "requester_managed": False, "source_dest_check": True,
                    "public_ip": None, "owner": None}
    assert re.fullmatch(r"AWS Lambda VPC ENI-a-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", got["description"])
    assert re.fullmatch(r"[A-Z0-9]+:[0-9]{12}", got["requester_id"])
    attachment = got["attachment"]
    assert re.fullmatch(r"ela-attach-[0-9a-f]{17}", attachment.pop("attachment_id"))
    assert attachment == {"instance_owner_id": "amazon-aws", "device_index": 1, "delete_on_termination": False}


@pytest.mark.ids("LN-11", kind="packet")
@pytest.mark.mutant("function-source")
def test_ports_are_an_interfaces(product):
    """Two functions on one interface that use one port are told apart; on two, each has the port."""
    doc = having(lab(), {**lab()["functions"], "twin": function("small")}, "functions")
    product.up(doc)
    script = ("import socket; s = socket.socket(); s.bind(('', 5555)); s.settimeout(10); "
              "s.connect(('10.0.2.10', 5432)); print(s.recv(200).decode(), flush=True); input()")
    runs = [subprocess.Popen([product.build + "/vpclab", "--run-dir", product.run, "exec", "life", f, "--",
                              "/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for f in ("a", "twin", "b")]
    seen = [json.loads(r.stdout.readline()) for r in runs]
    for r in runs:
        r.communicate("\n", timeout=10)
    assert [s["from"] for s in seen] == ["10.0.1.4", "10.0.1.4", "10.0.2.4"]
    assert sorted(s["port"] == 5555 for s in seen[:2]) == [False, True] and seen[2]["port"] == 5555


SDK = ["/usr/bin/python3", "-c", """
import boto3, botocore.config, json, os, sys
json.load(sys.stdin)
c = boto3.client("lambda", use_ssl=False, config=botocore.config.Config(
    connect_timeout=2, read_timeout=20, retries={"max_attempts": 0}))
try:
    print(json.dumps(json.loads(c.invoke(FunctionName="target", Payload=b'{"hello": 1}')["Payload"].read())))
except Exception as e:
    print(json.dumps(type(e).__name__))
"""]


@pytest.mark.ids("LN-45", kind="packet")
@pytest.mark.mutant("api-endpoint")
def test_awss_own_endpoint_is_on_the_internet(product):
    """An SDK call: without a VPC and behind NAT it gets through; sealed, the name resolves and the call hangs."""
    doc = {
        "version": 1, "lab": "life", "roles": ROLES,
        "vpcs": {"main": {
            "cidr_block": "10.0.0.0/16", "internet_gateway": True,
            "subnets": {"public": {"cidr_block": "10.0.9.0/24", "route_table": "public"},
                        "private": {"cidr_block": "10.0.1.0/24", "route_table": "private"},
                        "sealed": {"cidr_block": "10.0.3.0/24"}},
            "nat_gateways": {"nat": {"subnet": "public", "elastic_ip": "203.0.113.10"}},
            "route_tables": {"public": {"routes": {"0.0.0.0/0": "internet_gateway"}},
                             "private": {"routes": {"0.0.0.0/0": "nat_gateway:nat"}}},
            "security_groups": {"fn": {}}}},
        "functions": {"target": {"runtime": "exec", "command": ["cat"]},
                      **{name: {**function(name if name != "plain" else "sealed"), "command": SDK, "memory_size": 1024}
                         for name in ("plain", "private", "sealed")}}}
    del doc["functions"]["plain"]["vpc_config"]
    product.up(doc)
    endpoint = product.show("life")["internet"]["endpoints"]
    assert list(endpoint) == ["lambda.us-east-1.amazonaws.com"]
    for name, source in (("plain", "192.0.2.10"), ("private", "203.0.113.10")):
        capture = product.capture(product.named_netns("life", "internet"))
        assert call(product, "POST", name + "/invocations", "{}")[::2] == (200, {"hello": 1}), name
        assert source in {p.src for p in capture.packets() if p.dport == 80 and p.dst in endpoint.values()}
        capture.close()
        got = product.probe("life", name, "lambda.us-east-1.amazonaws.com", "tcp/80")
        assert got["result"] == "open"
        told = product.json("why", "life", name, "lambda.us-east-1.amazonaws.com", "tcp/80")
        assert told["result"] == "open"
    capture = product.capture(product.named_netns("life", "internet"))
    assert call(product, "POST", "sealed/invocations", "{}")[::2] == (200, "ConnectTimeoutError")
    assert not [p for p in capture.packets() if p.dport == 80]
    capture.close()
    got = product.probe("life", "sealed", "lambda.us-east-1.amazonaws.com", "tcp/80")
    assert (got["result"], got["dropped"]["code"]) == ("timeout", "NO_ROUTE_TO_DESTINATION")
    product.kill("sandboxd")
    product.start()
    assert call(product, "POST", "plain/invocations", "{}")[::2] == (200, {"hello": 1})
