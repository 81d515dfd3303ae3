# SPDX-License-Identifier: MIT
"""sandboxd is killed at moments of an event's life: whoever was told 202 is delivered or dead-lettered, whatever happens.

VPCLAB_KILLS says how often (20; "make kill": 200), VPCLAB_KILL_SEED from where the moments come."""
import collections
import json
import os
import random
import socket
import http.client

import pytest

from product import BUILD, ROOT, Product, Unix, alive, wait_until
from test_async import lines

# where the daemon ends itself (sandbox/async.c), by the stage that it belongs to
POINTS = {"accept": ("accept", "answer"), "queue": ("queue",), "dispatch": ("dispatch", "result"), "retry": ("retry",),
          "delivery": ("finish", "deliver")}
EVENTS = 6


def send(product, function, event):
    """The id, if it was answered 202; None: the daemon died meanwhile."""
    c = Unix(os.path.join(product.run, "sandboxd.sock"))
    try:
        c.request("POST", "/2015-03-31/functions/%s/invocations" % function, json.dumps(event),
                  {"X-Vpclab-Lab": "kill", "X-Amz-Invocation-Type": "Event"})
        r = c.getresponse()
        r.read()
        return r.headers["x-amzn-requestid"] if r.status == 202 else None
    except (OSError, http.client.HTTPException, socket.timeout):
        return None
    finally:
        c.close()


def dead(product):
    try:
        return not alive(product.pid("sandboxd"))
    except (FileNotFoundError, ValueError):
        return True


@pytest.fixture
def killable():
    """Only a testing build knows the moments; one with mutants is one, too."""
    p = Product(build=BUILD if "mutants" in BUILD else os.path.join(ROOT, "build", "testing"))
    try:
        yield p
    finally:
        p.close()


@pytest.mark.ids("AS-1", "AS-3")
def test_nothing_that_was_accepted_is_lost(killable):
    p = killable
    kills = int(os.environ.get("VPCLAB_KILLS", "20"))
    rng = random.Random(int(os.environ.get("VPCLAB_KILL_SEED", "1")))
    p.start()
    p.up({"version": 1, "lab": "kill", "time_scale": 6000, "functions": {
        "ok": {"runtime": "exec", "command": ["cat"], "async": {"on_success": "file:done"}},
        "bad": {"runtime": "exec", "command": ["sh", "-c", "cat >/dev/null; exit 1"],
                "async": {"on_failure": "file:failed"}, "dead_letter": "file:dead"}}})
    accepted, histogram = {"ok": [], "bad": []}, collections.Counter()
    stages = list(POINTS)
    for n in range(kills):
        stage = stages[n % len(stages)]
        point = rng.choice(POINTS[stage])
        p.vpclab("daemon", "stop", check=0)
        # what waits from before may bring it to that moment while it starts
        p.vpclab("daemon", "start", env={"VPCLAB_KILL": "%s:%d" % (point, rng.randint(1, 4))})
        for i in range(EVENTS):
            function = "bad" if point == "retry" or i % 2 else "ok"
            rid = send(p, function, [n, i])
            if rid:
                accepted[function].append(rid)
        wait_until(lambda: dead(p), "the kill at " + point, 30)
        histogram[stage] += 1
        p.vpclab("daemon", "start", check=0)
    wait_until(lambda: not any(p.show("kill", "functions/" + f)["queued_events"] for f in accepted), "an empty queue", 120)
    print("kills by stage: " + ", ".join("%s %d" % (s, histogram[s]) for s in stages))
    assert set(histogram) == set(stages) and sum(histogram.values()) == kills
    twice = 0
    for function, files in (("ok", ["done"]), ("bad", ["failed", "dead"])):
        for name in files:
            got = collections.Counter(r["attributes"]["RequestID"] if "attributes" in r else r["requestContext"]["requestId"]
                                      for r in lines(p, name, "kill"))
            lost = set(accepted[function]) - set(got)
            assert not lost, (name, lost)
            twice += sum(c - 1 for c in got.values())
            # what nobody was told 202 for may have been kept all the same, once for each kill at most
            assert len(set(got) - set(accepted[function])) <= EVENTS * kills
    print("accepted %d, delivered twice %d" % (sum(len(v) for v in accepted.values()), twice))
