# SPDX-License-Identifier: MIT
"""How many invocations run at a time, and how many a second: AWS's limits, and its 429."""
import json
import os
import threading

import pytest

from gate import BLOCK, held
from product import Unix, wait_until

FOREVER = {"runtime": "exec", "command": ["sleep", "infinity"], "timeout": 900}
ECHO = {"runtime": "exec", "command": ["cat"]}


class Connection(Unix):
    """To sandboxd's socket."""

    def __init__(self, product):
        super().__init__(os.path.join(product.run, "sandboxd.sock"))

    def invoke(self, function):
        self.request("POST", "/2015-03-31/functions/%s/invocations" % function, "1", {"X-Vpclab-Lab": "concurrency"})
        r = self.getresponse()
        body = r.read()
        return r.status, json.loads(body).get("Reason") if r.status == 429 else body


def up(product, functions, **more):
    return product.up({"version": 1, "lab": "concurrency", "functions": functions, **more})


def begin(product, function, n):
    """Invocations that don't end before their lab does."""
    connections = [Connection(product) for _ in range(n)]
    for c in connections:
        threading.Thread(target=lambda c=c: _swallow(c, function), daemon=True).start()
    wait_until(lambda: product.json("daemon", "status")["sandboxd"]["invocations"] >= n, "%d invocations run" % n, 60)
    return connections


def _swallow(connection, function):
    try:
        connection.invoke(function)
    except OSError:
        pass    # its lab was taken down


@pytest.mark.ids("CC-2", "INV-7")
@pytest.mark.mutant("concurrency")
def test_reserved_is_a_cap_and_a_guarantee(product):
    up(product, {"f": {**FOREVER, "reserved_concurrent_executions": 2}, "none": {**ECHO, "reserved_concurrent_executions": 0},
                 "echo": ECHO, "kept": {**ECHO, "reserved_concurrent_executions": 1}}, concurrent_executions=103)
    c = Connection(product)
    assert c.invoke("none") == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    begin(product, "f", 2)
    assert c.invoke("f") == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    assert c.invoke("echo") == (200, b"1") and c.invoke("kept") == (200, b"1")
    r = product.vpclab("invoke", "concurrency", "none")
    assert r.rc != 0 and "Rate Exceeded." in r.out + r.err
    product.vpclab("down", "concurrency", check=0)


@pytest.mark.ids("CC-1", "INV-7")
@pytest.mark.mutant("concurrency")
def test_functions_share_the_accounts_limit(product):
    up(product, {"f": FOREVER, "echo": ECHO}, concurrent_executions=3)
    c = Connection(product)
    assert c.invoke("echo") == (200, b"1")
    begin(product, "f", 3)
    assert c.invoke("echo") == c.invoke("f") == (429, "ConcurrentInvocationLimitExceeded")
    product.vpclab("down", "concurrency", check=0)


@pytest.mark.ids("CC-1", "INV-7")
@pytest.mark.mutant("request-rate")
def test_ten_requests_a_second_for_each_of_its_concurrency(product):
    up(product, {"f": {**ECHO, "memory_size": 3008, "reserved_concurrent_executions": 1}, "echo": ECHO})
    c = Connection(product)
    reasons = {}
    for _ in range(300):
        status, reason = c.invoke("f")
        reasons[reason if status == 429 else 200] = reasons.get(reason if status == 429 else 200, 0) + 1
        if status == 429:
            break
    assert set(reasons) == {200, "ReservedFunctionInvocationRateLimitExceeded"} and reasons[200] >= 10, reasons
    assert c.invoke("echo") == (200, b"1")
    # it comes back with time
    wait_until(lambda: c.invoke("f") == (200, b"1"), "the function may be invoked again")


@pytest.mark.ids("CC-2", kind="state")
@pytest.mark.mutant("concurrency-change")
def test_another_reservation_is_a_change_that_leaves_environments_alone(product):
    up(product, {"f": ECHO})
    c = Connection(product)
    assert c.invoke("f") == (200, b"1")
    done = up(product, {"f": {**ECHO, "reserved_concurrent_executions": 0}})
    assert [(x["action"], x["kind"], x["name"]) for x in done["changes"]] == [("update", "function", "f")]
    assert c.invoke("f") == (429, "ReservedFunctionConcurrentInvocationLimitExceeded")
    assert product.show("concurrency")["functions"]["f"]["environments"] == 1
    assert up(product, {"f": {**ECHO, "reserved_concurrent_executions": 0}})["changed"] is False


@pytest.mark.ids("CC-1", "INV-7")
@pytest.mark.mutant("concurrency")
def test_as_many_as_the_account_may_work_at_one_moment(product):
    held(product, {"runtime": "exec", "command": ["bash", "-c", BLOCK], "memory_size": 512}, 40)
