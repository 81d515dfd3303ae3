# SPDX-License-Identifier: MIT
"""Random labs from a seed: everything that decides who reaches whom, in combinations that no person would write."""
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
    if r.random() < 0.35:
        o["egress"] = rules(r, groups)
    return o


def entry(r, number):
    """Its ports are all that answers go to, or none of them: which of them a client takes, no model knows."""
    o = {"rule_number": number, "rule_action": r.choice(["allow", "allow", "deny"]),
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
    return [entry(r, n) for n in numbers] + (rest if r.random() < 0.7 else [])


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


def vpc(r, n, net="10.0"):
    """A VPC with its own names; CIDRs are those of the other one."""
    subnets = {"s%d-%d" % (n, i): {"cidr_block": "%s.%d.0/24" % (net, i)} for i in range(1, r.randint(2, 4) + 1)}
    second = "100.%d" % (64 + int(net.split(".")[1])) if r.random() < 0.4 else None
    if second:
        subnets["x%d" % n] = {"cidr_block": second + ".1.0/24"}
    igw = r.random() < 0.8
    groups = ["open", "a", "b"]
    o = {"cidr_block": net + ".0.0/16", "internet_gateway": igw, "enable_dns_hostnames": r.random() < 0.5,
         "subnets": subnets, "nat_gateways": {}, "route_tables": {}, "instances": {},
         "security_groups": {"open": {"ingress": [{"protocol": "-1", "cidr_blocks": ["0.0.0.0/0"]}]},
                             "a": group(r, groups), "b": group(r, groups)}}
    if second:
        o["secondary_cidr_blocks"] = [second + ".0.0/16"]
    if igw:
        o["nat_gateways"]["nat%d" % n] = {"subnet": r.choice(list(subnets)), "elastic_ip": "203.0.113.%d" % (90 + n),
                                         "idle_timeout": r.choice([60, 350]),
                                         "max_connections_per_destination": r.choice([1000, 55000])}
    if r.random() < 0.5:
        o["nat_gateways"]["private%d" % n] = {"subnet": r.choice(list(subnets)), "connectivity_type": "private"}
    for i in range(r.randint(2, 4)):
        node = {"subnet": r.choice(list(subnets)), "serve": r.sample(PORTS, r.randint(0, 3)),
                "security_groups": r.choice([["open"], ["open"], ["a"], ["b"], ["a", "b"]])}
        if igw and r.random() < 0.4:
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
    interfaces(r, o, n, igw)
    attached = {e.get("attach_to") for e in o["network_interfaces"].values()}
    appliances = ["instance:" + i for i in o["instances"] if i not in attached]
    appliances += ["network_interface:" + e for e in o["network_interfaces"]] or ["blackhole"]
    targets = ["blackhole"] + ["nat_gateway:" + g for g in o["nat_gateways"]] * 2 + appliances
    targets += ["internet_gateway"] * 3 if igw else []
    for name in ("t1", "t2", "t3"):
        routes = {}
        if r.random() < 0.8:
            routes["0.0.0.0/0"] = r.choice(targets)
        if r.random() < 0.4:
            routes[r.choice(["198.51.100.0/24", "198.51.100.10/32", "203.0.113.0/24"])] = r.choice(targets)
        if r.random() < 0.1:
            routes[o["cidr_block"]] = r.choice(appliances + ["blackhole", "local"])
        if r.random() < 0.4:
            routes[r.choice(list(subnets.values()))["cidr_block"]] = r.choice(
                appliances + ["nat_gateway:" + g for g in o["nat_gateways"]])
        o["route_tables"][name] = {"routes": routes}
    if igw and r.random() < 0.4:
        o["internet_gateway"] = {"route_table": "edge"}
        o["route_tables"]["edge"] = {"routes": {
            c: r.choice(appliances * 2 + ["local" if c == o["cidr_block"] else "blackhole"]) for c in
            r.sample([s["cidr_block"] for s in subnets.values()] + [o["cidr_block"]], r.randint(0, 2))}}
    for s in subnets.values():
        if r.random() < 0.85:
            s["route_table"] = r.choice(["t1", "t2", "t3"])
        if igw and r.random() < 0.2:
            s["map_public_ip_on_launch"] = True
    if r.random() < 0.6:
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
            if r.random() < 0.2:
                t["routes"][r.choice(["0.0.0.0/0", "10.0.0.0/8", "198.51.100.0/24"])] = "peering:" + name
        for g in ("a", "b"):
            rules_of = o["vpcs"][here]["security_groups"][g].setdefault(r.choice(["ingress", "egress"]), [])
            if r.random() < 0.5:
                rules_of.append({"protocol": "tcp", "from_port": 1, "to_port": r.choice([100, 500]),
                                 "security_groups": [name + "/" + r.choice(["open", "a", "b"])]})


def lab(seed):
    r = random.Random(seed)
    o = {"version": 1, "lab": "random",
         "internet": {"hosts": {
             "h1": {"ip": "198.51.100.10", "serve": r.sample(PORTS, 2), "dns_names": ["h1.example.com"]},
             "h2": {"ip": "198.51.100.20", "serve": r.sample(PORTS, 2)}}},
         "roles": {"fn": {"managed_policies": ["AWSLambdaVPCAccessExecutionRole"]}},
         "vpcs": {"v1": vpc(r, 1)}, "functions": {}}
    if r.random() < 0.4:
        o["internet"]["hosts"]["private"] = {"ip": "10.99.0.1", "serve": ["tcp/80"]}
    if r.random() < 0.4:
        o["vpcs"]["v2"] = vpc(r, 2)
    if r.random() < 0.5:
        # v3 has v1 and, with the same blocks as v1's, v2 for peers
        o["vpcs"]["v3"] = vpc(r, 3, "10.8")
        o["peerings"] = {}
        for i, v in enumerate([v for v in o["vpcs"] if v != "v3"]):
            peer(r, o, "p%d" % i, *r.sample([v, "v3"], 2))
        if r.random() < 0.5:
            o["vpcs"]["v4"] = vpc(r, 4, "10.9")
            peer(r, o, "far", "v3", "v4")
    if r.random() < 0.7:
        o["functions"]["plain"] = {"runtime": "exec", "command": ["cat"]}
    for name in r.sample(["f1", "f2"], r.randint(1, 2)):
        v = r.choice(list(o["vpcs"]))
        o["functions"][name] = {"runtime": "exec", "command": ["cat"], "role": "fn", "vpc_config": {
            "vpc": v, "subnets": r.sample(list(o["vpcs"][v]["subnets"]), r.randint(1, 2)),
            "security_groups": [r.choice(["open", "a", "b"])]}}
    return o
