# SPDX-License-Identifier: MIT
"""
Random labs from a seed: everything that decides who reaches whom, in combinations that no person would write.  Each has
what shape() asks for; scenes() adds now and then what chance alone would hardly ever bring together.
"""
import random

PORTS = ["tcp/80", "tcp/443", "udp/53"]


def rule(r, groups):
    protocol = r.choice(["-1", "tcp", "tcp", "udp", "icmp"])
    o = {"protocol": protocol}
    if protocol in ("tcp", "udp"):
        o["from_port"], o["to_port"] = r.choice([(80, 80), (1, 443), (53, 53), (1024, 65535)])
    who = r.choice(["cidr", "cidr", "group", "self"])
    if who == "cidr":
        o["cidr_blocks"] = r.sample(["0.0.0.0/0", "10.0.0.0/16", "10.0.1.0/24", "10.0.2.0/24", "198.51.100.0/24",
                                     "203.0.113.0/24"], r.randint(1, 2))
    elif who == "group":
        o["security_groups"] = [r.choice(groups)]
    else:
        o["self"] = True
    return o


def rules(r, groups):
    """No two of one protocol, for equal rules are refused."""
    return list({o["protocol"]: o for o in (rule(r, groups) for _ in range(r.randint(0, 4)))}.values())


def group(r, groups):
    o = {}
    if r.random() < 0.85:
        o["ingress"] = rules(r, groups)
    if r.random() < 0.2:
        o["egress"] = rules(r, groups)
    return o


def entry(r, number):
    """Its ports are all that answers go to, or none of them: which of them a client takes, no model knows."""
    o = {"rule_number": number, "rule_action": r.choice(["allow", "allow", "allow", "deny"]),
         "protocol": r.choice(["-1", "tcp", "tcp", "udp", "icmp", 47])}
    if o["protocol"] in ("tcp", "udp"):
        o["from_port"], o["to_port"] = r.choice([(80, 80), (1, 443), (53, 53), (1024, 65535)])
    if o["protocol"] == "icmp" and r.random() < 0.5:
        o["icmp_type"] = r.choice([0, 3, 8])
        o["icmp_code"] = r.choice([-1, 0])
    o["cidr_block"] = r.choice(["0.0.0.0/0", "10.0.0.0/16", "10.0.1.0/24", "10.0.2.0/24", "198.51.100.0/24",
                                "203.0.113.0/24"])
    return o


def entries(r):
    """Most of them end in an entry that allows all, or nobody would reach anybody."""
    numbers = r.sample(range(1, 900), r.randint(0, 3))
    rest = [{"rule_number": 900, "rule_action": "allow", "protocol": "-1", "cidr_block": "0.0.0.0/0"}]
    return [entry(r, n) for n in numbers] + (rest if r.random() < 0.9 else [])


def address(o, node, last):
    """One that no automatic address gets to."""
    return o["subnets"][node["subnet"]]["cidr_block"].replace(".0/24", ".%d" % last)


def interfaces(r, o, n, igw):
    """Some more interfaces: attached to somebody or to nothing, with one or two addresses."""
    o["network_interfaces"] = {}
    for i in range(r.choice([0, 0, 1, 2, 3])):
        e = {"subnet": r.choice(list(o["subnets"])), "security_groups": r.choice([["open"], ["open"], ["a"], ["a", "b"]])}
        e["private_ips"] = [address(o, e, 150 + i), address(o, e, 170 + i)][:r.randint(1, 2)]
        if r.random() < 0.75:
            e["attach_to"], e["device_index"] = r.choice(list(o["instances"])), i + 1
        if r.random() < 0.5:
            e["source_dest_check"] = False
        if igw:
            e["elastic_ips"] = {a: "203.0.113.%d" % (100 + 30 * n + 10 * i + k) for k, a in enumerate(e["private_ips"])
                                if r.random() < 0.5}
        o["network_interfaces"]["e%d-%d" % (n, i)] = e


def tables(r, o, n, appliances):
    """One that leads to the internet, one that leads out by NAT, and one as it comes."""
    igw, nats = bool(o["internet_gateway"]), ["nat_gateway:" + g for g in o["nat_gateways"]]
    targets = ["blackhole"] + nats * 2 + appliances + (["internet_gateway"] * 3 if igw else [])
    usual = {"t1": "internet_gateway" if igw else None, "t2": nats[0] if igw else r.choice(targets), "t3": None}
    for name, way in usual.items():
        routes = {}
        if r.random() < 0.85:
            routes["0.0.0.0/0"] = way if way and r.random() < 0.9 else r.choice(targets)
        if r.random() < 0.4:
            routes[r.choice(["198.51.100.0/24", "198.51.100.10/32", "203.0.113.0/24"])] = r.choice(targets)
        if r.random() < 0.1:
            routes[o["cidr_block"]] = r.choice(appliances + ["blackhole", "local"])
        if r.random() < 0.3:
            routes[r.choice(list(o["subnets"].values()))["cidr_block"]] = r.choice(appliances + nats or ["blackhole"])
        o["route_tables"][name] = {"routes": routes}
    if igw and r.random() < 0.4:
        o["internet_gateway"] = {"route_table": "edge"}
        o["route_tables"]["edge"] = {"routes": {
            c: r.choice(appliances * 2 + ["local" if c == o["cidr_block"] else "blackhole"]) for c in
            r.sample([s["cidr_block"] for s in o["subnets"].values()] + [o["cidr_block"]], r.randint(0, 2))}}
    for i, s in enumerate(o["subnets"].values()):
        if igw and not i and r.random() < 0.9:
            s["route_table"] = "t1" # where its NAT gateway is
        elif r.random() < 0.9:
            s["route_table"] = r.choice(["t1", "t1", "t1", "t2", "t2", "t2", "t3"])
        if igw and r.random() < 0.2:
            s["map_public_ip_on_launch"] = True


def vpc(r, n, net, igw):
    """A VPC with its own names."""
    subnets = {"s%d-%d" % (n, i): {"cidr_block": "%s.%d.0/24" % (net, i)} for i in range(1, r.randint(2, 4) + 1)}
    second = "100.%d" % (64 + n) if r.random() < 0.4 else None
    if second:
        subnets["x%d" % n] = {"cidr_block": second + ".1.0/24"}
    groups = ["open", "a", "b"]
    o = {"cidr_block": net + ".0.0/16", "internet_gateway": igw, "enable_dns_hostnames": r.random() < 0.5,
         "subnets": subnets, "nat_gateways": {}, "route_tables": {}, "instances": {},
         "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]},
                             "a": group(r, groups), "b": group(r, groups)}}
    if second:
        o["secondary_cidr_blocks"] = [second + ".0.0/16"]
    if igw:
        o["nat_gateways"]["nat%d" % n] = {"subnet": list(subnets)[0], "elastic_ip": "203.0.113.%d" % (90 + n),
                                          "idle_timeout": r.choice([60, 350]),
                                          "max_connections_per_destination": r.choice([1000, 55000])}
    if r.random() < 0.5:
        o["nat_gateways"]["private%d" % n] = {"subnet": r.choice(list(subnets)), "connectivity_type": "private"}
    for i in range(r.randint(2, 4)):
        node = {"subnet": r.choice(list(subnets)), "serve": r.sample(PORTS, r.randint(1, 3)),
                "security_groups": r.choice([["open"]] * 6 + [["a"], ["a", "b"], ["open", "b"]])}
        if igw and r.random() < 0.65:
            node["elastic_ip"] = "203.0.113.%d" % (10 * n + i + 1)
        if r.random() < 0.4:
            node["forward"] = True
        elif r.random() < 0.3:
            node["nat_instance"] = True
        if r.random() < 0.5:
            node["source_dest_check"] = False
        if r.random() < 0.3:
            node["dns_names"] = ["n%d-%d.example.com" % (n, i)]
        if r.random() < 0.25:
            node["private_ips"] = [address(o, node, 50 + i), address(o, node, 70 + i)]
        o["instances"]["i%d-%d" % (n, i)] = node
    for s in subnets.values():
        s["availability_zone"] = "us-east-1" + "abcd"[n - 1]  # five NAT gateways of a lab are all that a zone takes
    interfaces(r, o, n, igw)
    attached = {e.get("attach_to") for e in o["network_interfaces"].values()}
    appliances = ["instance:" + i for i in o["instances"] if i not in attached]
    appliances += ["network_interface:" + e for e in o["network_interfaces"]]
    tables(r, o, n, appliances or ["blackhole"])
    if r.random() < 0.5:
        o["network_acls"] = {a: {"ingress": entries(r), "egress": entries(r)}
                             for a in r.sample(["default", "l1", "l2"], r.randint(1, 3))}
        for s in subnets.values():
            if r.random() < 0.5:
                s["network_acl"] = r.choice(list(o["network_acls"]))
    return o


def peer(r, o, name, v, w):
    """Routes on both sides mostly, also for what a peering doesn't carry, and rules that refer across."""
    o["peerings"][name] = {"requester": v, "accepter": w, "auto_accept": r.random() < 0.9}
    for here, there in ((v, w), (w, v)):
        for t in (t for n, t in o["vpcs"][here]["route_tables"].items() if n != "edge"):
            if r.random() < 0.85:
                t["routes"][o["vpcs"][there]["cidr_block"]] = "peering:" + name
            if r.random() < 0.1:
                t["routes"][r.choice(["0.0.0.0/0", "10.0.0.0/8", "198.51.100.0/24"])] = "peering:" + name
        for g in ("a", "b"):
            rules_of = o["vpcs"][here]["security_groups"][g].setdefault(r.choice(["ingress", "egress"]), [])
            if r.random() < 0.5:
                rules_of.append({"protocol": "tcp", "from_port": 1, "to_port": r.choice([100, 500]),
                                 "security_groups": [name + "/" + r.choice(["open", "a", "b"])]})


# ---- scenes: nodes, subnets and tables of their own in a VPC with an internet gateway ----

def block(o, number):
    return o["cidr_block"].replace(".0.0/16", ".%d.0/24" % number)


def appliance(r, o, v):
    """A middlebox in the way of what one table leads there."""
    o["subnets"]["mid-" + v] = {"cidr_block": block(o, 20), "route_table": r.choice(["t1", "t2"])}
    o["instances"]["box-" + v] = {"subnet": "mid-" + v, "security_groups": [r.choice(["open", "open", "a"])], "forward": True,
                                  "source_dest_check": False, "serve": ["tcp/80"]}
    routes = o["route_tables"][r.choice(["t2", "t3"])]["routes"]
    routes[r.choice(["198.51.100.0/24", "198.51.100.20/32"])] = "instance:box-" + v
    if r.random() < 0.5:
        routes[r.choice([s["cidr_block"] for n, s in o["subnets"].items() if n[0] == "s"])] = "instance:box-" + v


def checked_arm(r, o, v):
    """A middlebox that sends on by another interface, whose check is on: there what it passes isn't its own."""
    o["subnets"]["left-" + v] = {"cidr_block": block(o, 30), "route_table": "arm"}
    o["subnets"]["right-" + v] = {"cidr_block": block(o, 31), "route_table": "t1"}
    o["route_tables"]["arm"] = {"routes": {"0.0.0.0/0": "network_interface:arm1-" + v,
                                           block(o, 31): "network_interface:arm1-" + v}}
    o["instances"]["arm-" + v] = {"subnet": "right-" + v, "security_groups": ["open"], "forward": True}
    o["network_interfaces"]["arm1-" + v] = {"subnet": "left-" + v, "security_groups": ["open"], "attach_to": "arm-" + v,
                                            "device_index": 1, "source_dest_check": False}
    o["instances"]["near-" + v] = {"subnet": "left-" + v, "security_groups": ["open"]}
    o["instances"]["far-" + v] = {"subnet": "right-" + v, "security_groups": ["open"], "serve": ["tcp/80", "udp/53"]}


def inspected(r, o, v):
    """
    What comes in for one subnet goes to a middlebox first, which needs a public address; where its own table then leads to
    a NAT gateway, that takes no sources from outside; and what answers otherwise has lost its way.
    """
    o["subnets"]["desk-" + v] = {"cidr_block": block(o, 40), "route_table": "desk"}
    o["subnets"]["hall-" + v] = {"cidr_block": block(o, 41), "route_table": r.choice(["hall", "hall", "t1"])}
    nat = "nat_gateway:" + r.choice(list(o["nat_gateways"]))
    o["route_tables"]["desk"] = {"routes": {"0.0.0.0/0": "internet_gateway", **({block(o, 41): nat} if r.random() < 0.6 else {})}}
    o["route_tables"]["hall"] = {"routes": {"0.0.0.0/0": "instance:guard-" + v}}
    o["internet_gateway"] = {"route_table": "edge"}
    o["route_tables"].setdefault("edge", {"routes": {}})["routes"][block(o, 41)] = "instance:guard-" + v
    o["instances"]["guard-" + v] = {"subnet": "desk-" + v, "security_groups": ["open"], "forward": True,
                                    "source_dest_check": False}
    if r.random() < 0.7:
        o["instances"]["guard-" + v]["elastic_ip"] = "203.0.113.%d" % (80 + int(v[1]))
    o["instances"]["guest-" + v] = {"subnet": "hall-" + v, "security_groups": ["open"], "serve": ["tcp/80", "tcp/443", "udp/53"],
                                    "elastic_ip": "203.0.113.%d" % (85 + int(v[1]))}


def referred(r, o, v):
    """Groups that let in and out whom they name, of nodes with public addresses: there the name doesn't hold."""
    groups, subnet = o["security_groups"], r.choice([n for n in o["subnets"] if n[0] == "s"])
    groups["members"] = {"ingress": [{"protocol": "-1", "cidr_blocks": ["198.51.100.0/24"]}, {"protocol": "tcp", "from_port": 1,
                                      "to_port": 500, "security_groups": r.choice([["open"], ["open", "members"]])}],
                         "egress": [{"protocol": "-1", "security_groups": ["open", "members"]}]}
    for i, g in enumerate((["members"], ["open", "members"])):
        o["instances"]["ref%d-%s" % (i, v)] = {"subnet": subnet, "security_groups": g, "serve": ["tcp/80", "udp/53"],
                                               "elastic_ip": "203.0.113.%d" % (50 + 10 * i + int(v[1]))}


def strict(r, o, v):
    """Groups without rules, the one for what comes and the other for what goes."""
    groups = o["security_groups"]
    groups["deaf"] = {"egress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]}
    groups["dumb"] = {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}], "egress": []}
    for g in ("deaf", "dumb"):
        o["instances"]["%s-%s" % (g, v)] = {"subnet": r.choice(list(o["subnets"])), "security_groups": [g], "serve": ["tcp/80"]}


SCENES = [appliance, checked_arm, inspected, referred, strict]


def lab(seed):
    r = random.Random(seed)
    o = {"version": 1, "lab": "random",
         "internet": {"hosts": {
             "h1": {"ip": "198.51.100.10", "serve": r.sample(PORTS, 2), "dns_names": ["h1.example.com"]},
             "h2": {"ip": "198.51.100.20", "serve": r.sample(PORTS, 2)}}},
         "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
         "vpcs": {}, "functions": {}, "peerings": {}}
    o["vpcs"]["v1"] = vpc(r, 1, "10.0", True)
    # v2 has v1 for a peer; a third has the blocks of one of them, or those of somebody outside, a fourth is behind v2
    o["vpcs"]["v2"] = vpc(r, 2, "10.8", r.random() < 0.8)
    peer(r, o, "p1", *r.sample(["v1", "v2"], 2))
    if r.random() < 0.4:
        o["vpcs"]["v3"] = vpc(r, 3, r.choice(["10.0", "54.10", "54.10"]), r.random() < 0.8)
        if r.random() < 0.7:
            peer(r, o, "p2", *r.sample(["v2", "v3"], 2))
    if r.random() < 0.3:
        o["vpcs"]["v4"] = vpc(r, 4, "10.9", r.random() < 0.5)
        peer(r, o, "far", "v2", "v4")
    for name, ip, chance in (("private", "10.99.0.1", 0.3), ("shared", "100.99.0.1", 0.3), ("posing", "54.10.200.1", 0.2)):
        if r.random() < chance or (name == "posing" and "v3" in o["vpcs"]):
            o["internet"]["hosts"][name] = {"ip": ip, "serve": ["tcp/80"]}
    appliance(r, o["vpcs"]["v1"], "v1")
    for scene in r.sample(SCENES[1:], r.choice([1, 1, 2])):
        scene(r, o["vpcs"]["v1"], "v1")
    for v, w in o["vpcs"].items():
        if v != "v1" and w["internet_gateway"] and r.random() < 0.3:
            r.choice(SCENES)(r, w, v)
    for acls in [w.setdefault("network_acls", {}) for w in o["vpcs"].values()][:1]:
        if not acls:
            acls["l0"] = {"ingress": entries(r), "egress": entries(r)}
            r.choice(list(o["vpcs"]["v1"]["subnets"].values()))["network_acl"] = "l0"
    routes = o["vpcs"]["v1"]["route_tables"][r.choice(["t1", "t2", "t3"])]["routes"]
    routes[r.choice(["198.51.100.128/25", "203.0.113.96/28", "198.51.100.77/32"])] = "blackhole"
    if r.random() < 0.7:
        o["functions"]["plain"] = {"runtime": "exec", "command": ["cat"]}
    for name, n in (("f1", 1), ("f2", 2)):
        v = r.choice(list(o["vpcs"]))
        o["functions"][name] = {"runtime": "exec", "command": ["cat"], "role": "fn", "vpc_config": {
            "vpc": v, "subnets": r.sample(list(o["vpcs"][v]["subnets"]), n),
            "security_groups": [r.choice(["open", "open", "a", "b"])]}}
    shape(o)
    return o


def shape(o):
    """What each lab has to have; its cells are counted where they are asked."""
    vpcs = o["vpcs"].values()
    targets = {t for w in vpcs for table in w["route_tables"].values() for t in table["routes"].values()}
    nodes = [i for w in vpcs for i in w["instances"].values()] + list(o["internet"]["hosts"].values())
    configs = [f["vpc_config"] for f in o["functions"].values() if "vpc_config" in f]
    boxes = {n for w in vpcs for n, i in w["instances"].items()
             if i.get("forward") and i.get("source_dest_check") is False and "instance:" + n in targets}
    assert len(vpcs) >= 2 and o["peerings"], "VPCs and a peering"
    assert len(nodes) >= 8, "nodes"
    assert len(configs) >= 2 and max(len(c["subnets"]) for c in configs) >= 2, "functions"
    assert any(w["nat_gateways"] for w in vpcs), "a NAT gateway"
    assert any(a["ingress"] or a["egress"] for w in vpcs for a in w.get("network_acls", {}).values()), "a network ACL"
    assert boxes, "an appliance"
    assert "blackhole" in targets, "a blackhole"
