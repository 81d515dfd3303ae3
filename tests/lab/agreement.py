# SPDX-License-Identifier: MIT
"""
The model held against packets, cell by cell: the result, whom the target sees, and what dropped it.  A cell is a
question (from, to, port): of every node to every node at each of its addresses, and to addresses that nobody has.
"""
import collections
import json
import os
import random

import random_labs
from product import Unix

QUESTIONS, PROBES = 200, 400  # of one request


def post(product, daemon, path, body):
    door = Unix(os.path.join(product.run, daemon + ".sock"))
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


def rejected(says):
    """Does the model see an ICMP error as the answer?"""
    return any(h["action"] == "reject" for h in says["hops"])


def same(cell, says, got):
    """
    The result; whom the target saw, where it serves and so can tell; what dropped it.  Of the last the packets know less:
    the notes of drops hold no ports of ICMP, and of an ICMP error on its way back not whose it was.
    """
    if says.get("varies"):
        return True  # a NAT gateway takes its addresses in turn: which one it was, nobody knows before
    if says["result"] != got["result"]:
        return False
    if got["result"] == "open":
        return not got["seen_as"] or got["seen_as"] in [says["seen_as"], *says["aliases"]]
    if got["result"] != "timeout" or cell["port"] == "icmp":
        return True
    model, packet = says["decided_by"], got["dropped"]
    # who gets an answer that it doesn't know resets the sender, by a packet of the same addresses that may die as well
    if model["answer"] and not model["code"] and cell["port"].startswith("tcp"):
        return True
    if model["answer"] and not packet and (cell["port"].startswith("udp") or rejected(says)):
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


def serves(doc):
    """What a node's programs serve, by its name."""
    every = {n: i for v in doc["vpcs"].values() for n, i in v.get("instances", {}).items()}
    every.update(doc.get("internet", {}).get("hosts", {}))
    return {n: [p.replace("http/", "tcp/") for p in i.get("serve", [])] for n, i in every.items()}


def targets(product, doc):
    """Every node, at each of its addresses, and addresses and names that nobody or a gateway has; with its node's ports."""
    instances, hosts, functions = nodes(doc)
    served = serves(doc)
    shown = product.show(doc["lab"])
    for v in shown["vpcs"].values():
        for name, node in v["instances"].items():
            yield {"to": name, "address": "private"}, served[name]
            if node["public_ip"]:
                yield {"to": name, "address": "public"}, served[name]
    for name in hosts + functions:
        yield {"to": name}, served.get(name, [])
    for v in shown["vpcs"].values():
        for gateway in v["nat_gateways"].values():
            for member in ("private_ip", "public_ip"):
                if gateway[member]:
                    yield {"to": gateway[member]}, []
        for e in v["network_interfaces"].values():
            if e["interface_type"] == "interface" and (e["name"] != e["id"] or len(e["private_ips"]) > 1):
                for address in e["private_ips"] + list(e["public_ips"].values()):
                    yield {"to": address}, served.get((e["attachment"] or {}).get("instance"), [])
    for name, h in doc["internet"]["hosts"].items():
        for n in h.get("dns_names", []):
            yield {"to": n}, served[name]
    for v, w in doc["vpcs"].items():
        for i, (name, node) in enumerate(w.get("instances", {}).items()):
            for n in node.get("dns_names", []) + (["%s.%s.internal" % (name, v)] if i < 2 else []):
                yield {"to": n}, served[name]
    for to in ["198.51.100.77", "10.0.1.200", "10.77.0.1", "100.64.0.1"]:
        yield {"to": to}, []


def cells(product, doc):
    """Every question that there is of a lab: to each target on the ports that it serves, and on some that it doesn't."""
    instances, hosts, functions = nodes(doc)
    return [dict(t, **{"from": f, "port": p}) for t, served in targets(product, doc)
            for p in served + ["tcp/9", "udp/9", "icmp"] + ([] if served else ["tcp/80", "udp/53"])
            for f in instances + hosts + functions]


def decided(answer):
    """What decides each part of a model's answer: ("open", "") and the like, or the code and direction of a drop."""
    for part in parts(answer).values():
        by = part.get("decided_by") or {}
        yield (by["code"], by["direction"]) if part["result"] == "timeout" and by.get("code") else (part["result"], "")


def likelihood(doc):
    """Of a cell to be drawn: most are asked where somebody serves and may be reached at all, or all would be silence."""
    served = serves(doc)
    home = {n: v for v, w in doc["vpcs"].items() for n in w.get("instances", {})}
    home.update({n: f["vpc_config"].get("vpc", list(doc["vpcs"])[0])
                 for n, f in doc.get("functions", {}).items() if f.get("vpc_config")})
    peers = [{p["requester"], p["accepter"]} for p in doc.get("peerings", {}).values() if p.get("auto_accept")]
    hosts, functions = doc.get("internet", {}).get("hosts", {}), doc.get("functions", {})

    def weigh(c):
        a, b, public = home.get(c["from"]), home.get(c["to"]), c["to"] in hosts or c.get("address") == "public"
        near = b and (a == b or {a, b} in peers) and c["to"] not in functions
        asks = c["port"] in served.get(c["to"], []) or (c["port"] == "icmp" and c["from"] not in functions)
        return (1 if asks else .12) * (1 if near and not public else .6 if public else .04)
    return weigh


def some(product, doc, n, each=0):
    """"n" of a lab's cells by chance, with the model's answers; "each" of every reason that is seen among thrice as many."""
    every = cells(product, doc)
    r, weigh = random.Random(len(every)), likelihood(doc)
    every.sort(key=lambda c: r.random() ** (1 / weigh(c)), reverse=True)
    every = every[:3 * n if each else n]
    says = expected(product, doc["lab"], every)
    chosen, seen = [], collections.Counter()
    for i, s in enumerate(says):
        why = set(decided(s))
        if any(seen[w] < each for w in why):
            chosen.append(i)
            seen.update(why)
    taken = set(chosen)
    chosen += [i for i in range(len(every)) if i not in taken][:max(0, n - len(chosen))]
    return [every[i] for i in chosen], [says[i] for i in chosen]


def disagreements(product, doc, asked, says):
    """
    [(cell, model's answer, packets' answer)] of those that differ.  They are measured again with more patience before
    they count: silence is the slow answer.
    """
    lab = doc["lab"]
    wrong = [w for w in zip(asked, says, measured(product, lab, asked, 0.5)) if not agree(*w)]
    for timeout in (1, 2, 3):
        if not wrong:
            break
        again = measured(product, lab, [c for c, _, _ in wrong], timeout)
        wrong = [w for w in ((c, s, g) for (c, s, _), g in zip(wrong, again)) if not agree(*w)]
    return wrong


def report(wrong, out=None):
    for c, s, g in wrong[:30]:
        print(json.dumps(c), "\n   model ", brief(s), "\n   packet", brief(g), file=out, flush=True)


def hold_against(product, doc, limit, each=0):
    """Model against packets; {what decides: cells}."""
    asked, says = some(product, doc, limit, each)
    wrong = disagreements(product, doc, asked, says)
    report(wrong)
    assert not wrong, "%d of %d cells differ" % (len(wrong), len(asked))
    return collections.Counter(d for s in says for d in decided(s))


# ---- many random labs ----

CELLS = 240  # of a lab; what is asked of each is at least LEAST
LEAST = 150
# what a lab's own traffic can be dropped by: the rest of topology/reach.h takes forged packets or very many of them
IN_SCOPE = ["BAD_STATE_ROUTE", "ENI_ADDRESS_RESTRICTION", "ENI_SG_RULES_MISMATCH", "ENI_SOURCE_DEST_CHECK_RESTRICTION",
            "GATEWAY_REJECTS_SPOOFED_TRAFFIC", "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS",
            "IGW_DESTINATION_ADDRESS_NOT_IN_RFC6598_EGRESS", "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
            "IGW_SOURCE_ADDRESS_NOT_IN_RFC1918_INGRESS", "IGW_SOURCE_ADDRESS_NOT_IN_RFC6598_INGRESS",
            "INGRESS_RTB_NO_PUBLIC_IP", "INGRESS_RTB_TRAFFIC_REDIRECTION", "NGW_REQUIRES_SOURCE_IN_VPC",
            "NO_POSSIBLE_DESTINATION", "NO_ROUTE_TO_DESTINATION", "PCX_REQUIRES_ADDRESS_IN_VPC_CIDR",
            "PROTOCOL_RESTRICTION", "SG_HAS_NO_RULES", "SG_REFERENCES_NOT_PRESERVED", "SUBNET_ACL_RESTRICTION",
            "UNKNOWN_DESTINATION"]
BOTH_WAYS = ["ENI_SG_RULES_MISMATCH", "SG_HAS_NO_RULES", "SG_REFERENCES_NOT_PRESERVED", "SUBNET_ACL_RESTRICTION"]


class RandomRun:
    """What came of a number of labs."""

    def __init__(self):
        self.labs, self.failed, self.decided, self.smallest = 0, [], collections.Counter(), CELLS

    def lab(self, product, seed):
        """Makes the lab of a seed and holds the model against its packets; what differs is printed."""
        doc = random_labs.lab(seed)
        product.up(doc)
        asked, says = some(product, doc, CELLS, 1)
        wrong = disagreements(product, doc, asked, says)
        product.vpclab("down", doc["lab"], check=0)
        self.labs += 1
        self.smallest = min(self.smallest, len(asked))
        self.decided.update(d for s in says for d in decided(s))
        if wrong:
            print("seed %d: %d of %d cells differ" % (seed, len(wrong), len(asked)))
            report(wrong)
            self.failed.append(seed)

    def add(self, other):
        self.labs += other.labs
        self.failed += other.failed
        self.decided += other.decided
        self.smallest = min(self.smallest, other.smallest)

    def share_open(self):
        return self.decided["open", ""] / max(1, sum(self.decided.values()))

    def table(self, seconds):
        lines = ["%6d  %s %s" % (n, what, direction) for (what, direction), n in self.decided.most_common()]
        return "\n".join(lines + ["%d labs in %.1f s (%.2f a second), %d cells, %.0f %% of them open; %s" % (
            self.labs, seconds, self.labs / seconds, sum(self.decided.values()), 100 * self.share_open(),
            "seeds that differ: %s" % self.failed if self.failed else "model and packets agree")])

    def short_of(self, floor):
        """What there is too little of, in words: cells a lab, open ones, and "floor" cells for each reason."""
        wrong = [] if self.smallest >= LEAST else ["a lab has %d cells, not %d" % (self.smallest, LEAST)]
        if not .25 <= self.share_open() <= .75:
            wrong.append("%.1f %% of all cells are open, not 25 to 75" % (100 * self.share_open()))
        seen = collections.Counter()
        for (code, direction), n in self.decided.items():
            seen[code] += n
            if code in BOTH_WAYS:
                seen[code + " " + direction] += n
        for what in IN_SCOPE + [c + way for c in BOTH_WAYS for way in (" egress", " ingress")]:
            if seen[what] < floor:
                wrong.append("%s decides %d cells, not %d" % (what, seen[what], floor))
        return wrong
