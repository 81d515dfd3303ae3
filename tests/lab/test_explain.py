# SPDX-License-Identifier: MIT
"""
The model against packets: what topology/explain says of a lab is what probes measure, cell by cell - the result, whom
the target sees, and what dropped it.  The two share nothing but the lab: explain walks its objects, packets walk rules.
"""
import glob
import http.client
import json
import os
import random
import socket

import pytest

from product import ROOT
from random_labs import lab as random_lab

EXAMPLES = sorted(glob.glob(os.path.join(ROOT, "topology", "examples", "*.json")))
SEEDS = int(os.environ.get("VPCLAB_SEEDS", "20"))
QUESTIONS, PROBES = 200, 400  # of one request


class Door(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def post(product, daemon, path, body):
    door = Door(os.path.join(product.run, daemon + ".sock"))
    door.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = door.getresponse()
    text = answer.read()
    door.close()
    assert answer.status == 200, "%s %s: %d %s" % (daemon, path, answer.status, text[:400])
    return json.loads(text)


def batches(cells, n):
    return [cells[i:i + n] for i in range(0, len(cells), n)]


def expected(product, lab, cells):
    return [a for b in batches(cells, QUESTIONS)
            for a in post(product, "netd", "/v1/labs/%s/why" % lab, {"questions": b})["answers"]]


def measured(product, lab, cells, timeout):
    return [a for b in batches(cells, PROBES)
            for a in post(product, "sandboxd", "/v1/labs/%s/probes" % lab,
                          {"probes": [dict(c, timeout=timeout) for c in b]})["results"]]


def parts(answer):
    """{interface: part}; what can't be asked at all is one part with an error."""
    found = {p.get("interface") or "": p for p in answer.get("parts") or [answer]}
    errors = {p["error"]["code"] for p in found.values() if p.get("error")}
    return {"": {"result": "error " + errors.pop()}} if errors else found


def same(cell, says, got):
    """
    The result; whom the target saw, where it serves and so can tell; what dropped it.  Of the last the packets know less:
    the notes of drops hold no ports of ICMP, and of an ICMP error on its way back not whose it was.
    """
    if says["result"] != got["result"]:
        return False
    if got["result"] == "open":
        return not got["seen_as"] or says["seen_as"] == got["seen_as"]
    if got["result"] != "timeout" or cell["port"] == "icmp":
        return True
    model, packet = says["decided_by"], got["dropped"]
    if model["answer"] and cell["port"].startswith("udp") and not packet:
        return True
    return (model["code"], model["code"] and model["direction"]) == \
        ((packet["code"], packet["direction"]) if packet else (None, None))


def agree(cell, says, got):
    a, b = parts(says), parts(got)
    return set(a) == set(b) and all(same(cell, a[k], b[k]) for k in a)


def brief(answer):
    return {k: [p["result"], p.get("seen_as"), p.get("dropped") or p.get("decided_by"), p.get("path")]
            for k, p in parts(answer).items()}


def nodes(doc):
    instances = [i for v in doc["vpcs"].values() for i in v.get("instances", {})]
    return instances, list(doc.get("internet", {}).get("hosts", {})), list(doc.get("functions", {}))


def targets(product, doc):
    """Every node, at each of its addresses, and addresses and names that nobody or a gateway has."""
    instances, hosts, functions = nodes(doc)
    shown = product.show(doc["lab"])
    for name in instances:
        node = next(v["instances"][name] for v in shown["vpcs"].values() if name in v["instances"])
        yield {"to": name, "address": "private"}
        if node["public_ip"]:
            yield {"to": name, "address": "public"}
    for name in hosts + functions:
        yield {"to": name}
    for v in shown["vpcs"].values():
        for gateway in v["nat_gateways"].values():
            for member in ("private_ip", "public_ip"):
                if gateway[member]:
                    yield {"to": gateway[member]}
        for e in v["network_interfaces"].values():
            if e["interface_type"] == "interface" and (e["name"] != e["id"] or len(e["private_ips"]) > 1):
                for address in e["private_ips"] + list(e["public_ips"].values()):
                    yield {"to": address}
    names = [n for h in doc["internet"]["hosts"].values() for n in h.get("dns_names", [])]
    names += [n for v in doc["vpcs"].values() for i in v.get("instances", {}).values() for n in i.get("dns_names", [])]
    names += ["%s.%s.internal" % (i, v) for v in doc["vpcs"] for i in doc["vpcs"][v].get("instances", {})][:2]
    for to in ["198.51.100.77", "10.0.1.200", "10.77.0.1", "100.64.0.1"] + names:
        yield {"to": to}


def cells(product, doc, limit=None):
    instances, hosts, functions = nodes(doc)
    served = sorted({p.replace("http/", "tcp/") for v in doc["vpcs"].values()
                     for i in v.get("instances", {}).values() for p in i.get("serve", [])} |
                    {p for h in doc["internet"]["hosts"].values() for p in h.get("serve", [])})
    ports = served + ["tcp/9", "udp/9", "icmp"]
    every = [dict(t, **{"from": f, "port": p}) for f in instances + hosts + functions
             for t in targets(product, doc) for p in ports]
    if limit and len(every) > limit:
        every = random.Random(len(every)).sample(every, limit)
    return every


def hold_against(product, doc, limit=None):
    """
    Cells that differ are measured again with more patience before they count: silence is the slow answer, and a kernel
    sends one node only so many "port unreachable" a second.
    """
    lab = doc["lab"]
    asked = cells(product, doc, limit)
    says = expected(product, lab, asked)
    wrong = list(zip(asked, says, measured(product, lab, asked, 0.5)))
    wrong = [w for w in wrong if not agree(*w)]
    timeout, before = 1, len(asked)
    # where many answers are ICMP errors, a round brings a few of them: on while it does
    while wrong and (timeout <= 3 or len(wrong) < before):
        before = len(wrong)
        again = measured(product, lab, [c for c, _, _ in wrong], min(timeout, 3))
        wrong = [w for w in ((c, s, g) for (c, s, _), g in zip(wrong, again)) if not agree(*w)]
        timeout += 1
    for c, s, g in wrong[:30]:
        print(json.dumps(c), "\n   model ", brief(s), "\n   packet", brief(g))
    assert not wrong, "%d of %d cells differ" % (len(wrong), len(asked))
    results = [p["result"] for s in says for p in parts(s).values()]
    return {r: results.count(r) for r in set(results)}


@pytest.mark.parametrize("path", EXAMPLES, ids=os.path.basename)
def test_examples_agree(product, path):
    with open(path) as f:
        doc = json.load(f)
    product.up(path)
    counts = hold_against(product, doc, 800)
    assert counts["open"] and counts["timeout"] and counts["refused"], counts


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_labs_agree(product, seed):
    doc = random_lab(seed)
    product.up(doc)
    counts = hold_against(product, doc, 400)
    assert counts.get("timeout"), counts


@pytest.mark.parametrize("path", EXAMPLES, ids=os.path.basename)
def test_matrix_measures_what_it_says(product, path):
    """Of a file with no daemon the same as of the fresh lab, and packets agree."""
    with open(path) as f:
        doc = json.load(f)
    from_file = product.json("matrix", path)
    product.up(path)
    got = product.json("matrix", doc["lab"], "--measure", "--exit-code")
    assert got["disagreements"] == 0 and got["nodes"] == from_file["nodes"] and got["cells"]
    assert [c["expected"] for c in got["cells"]] == [c["expected"] for c in from_file["cells"]] == \
        [c["measured"] for c in got["cells"]]
    assert {"open", "timeout"} <= {c["measured"] for c in got["cells"]}


def test_a_contradiction_is_told(product):
    """What somebody does inside a node, the model can't know: matrix counts it and a report says so."""
    doc = {"version": 1, "lab": "contra", "vpcs": {"v": {
        "cidr_block": "10.0.0.0/16", "subnets": {"s": {"cidr_block": "10.0.1.0/24"}},
        "instances": {"a": {"subnet": "s"}, "b": {"subnet": "s", "serve": ["tcp/80", "tcp/81"]}}}},
        "expect": [{"from": "a", "to": "b", "port": "tcp/80", "result": "open"},
                   {"from": "a", "to": "b", "port": "tcp/81", "result": "open"}]}
    product.up(doc)
    assert product.json("matrix", "contra", "--measure", "--exit-code")["disagreements"] == 0
    product.vpclab("exec", "contra", "b", "--", "nft", "table ip own { chain in { type filter hook input priority 0; "
                   "iifname eth0 tcp dport 80 drop;\n}\n}", check=0)
    got = product.json("matrix", "contra", "--measure", "--exit-code", check=1)
    assert [(c["port"], c["expected"], c["measured"]) for c in got["cells"] if c["from"] == "a"] == [
        ("tcp/80", "open", "timeout"), ("tcp/81", "open", "open")] and got["disagreements"] == 1
    assert [c["differs"] for c in got["cells"] if c["from"] == "a"] == [True, False]
    out = product.vpclab("matrix", "contra", "--measure").out
    assert "differs  a -> b tcp/80: model open, packets timeout\n1 disagreements\n" in out, out
    out = product.vpclab("test", "contra", check=1).out
    assert "        model     says open; what was measured differs\n" in out, out
    assert out.count("not ok") == 1 and product.json("why", "contra", "a", "b", "tcp/80")["result"] == "open"
