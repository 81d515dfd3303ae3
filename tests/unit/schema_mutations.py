#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
Schema and parser agree on shape: 500 mutations of the example labs (a value of another type, an unknown or missing member,
a value out of range) and 500 of their texts are given to both; each is refused by both or by neither.  What the parser refuses
for other reasons (references, AWS's rules, what this build doesn't enforce yet) counts as accepted: the schema can't know it.

usage: schema_mutations.py [SEED]    the seed is printed; VPCLAB_BUILD names the folder of the programs
"""
import copy
import glob
import json
import os
import random
import subprocess
import sys

import jsonschema

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHAPE = {"SerializationException", "ValidationException", "MissingParameter", "UnknownParameter"}
COUNT = 500
OTHERS = [None, True, False, 0, 7, -3, 2.5, "", "x", "10.0.0.0/16", [], ["x"], [[]], {}, {"x": 1}]
NUMBERS = [-2, -1, 0, 0.5, 1, 2, 3.5, 100, 255, 256, 900, 901, 10240, 10241, 65535, 65536, 1e6, 1e12]
LETTERS = "abzAZ019_-./*:@,%$ é\"\\"


def checker():
    build = os.environ.get("VPCLAB_BUILD", os.path.join(ROOT, "build", "release"))
    return os.path.join(build, "tests", "lab_check")


def bases():
    paths = glob.glob(os.path.join(ROOT, "topology", "examples", "*.json"))
    # labs with the members that no example has yet
    paths += glob.glob(os.path.join(ROOT, "tests", "bad", "unsupported-yet*.json"))
    for path in sorted(paths):
        with open(path, encoding="utf-8") as f:
            yield json.load(f)


def places(value, path=()):
    """Every value of a document, as the path to it."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        for i in range(len(value)):
            yield from places(value[i], path + (i,))


def find(document, path):
    for step in path:
        document = document[step]
    return document


def put(document, path, value):
    find(document, path[:-1])[path[-1]] = value


def change_type(rng, document, path):
    old = find(document, path)
    put(document, path, rng.choice([v for v in OTHERS if type(v) is not type(old)]))


def add_unknown(rng, document, path):
    while not isinstance(find(document, path), dict):
        path = path[:-1]
    find(document, path)[rng.choice(["no_such_member", "Cidr_block", "", "lab ", "subnet_id"])] = rng.choice(OTHERS)


def drop_member(rng, document, path):
    while not isinstance(find(document, path[:-1]), dict):
        path = path[:-1]
    del find(document, path[:-1])[path[-1]]


def leave_range(rng, document, path):
    value = find(document, path)
    if isinstance(value, bool) or value is None:
        put(document, path, rng.choice([True, False]))
    elif isinstance(value, (int, float)):
        put(document, path, rng.choice(NUMBERS))
    elif isinstance(value, str):
        put(document, path, rng.choice(["", "public", "open", "tcp/0", "tcp/65536", "icmp", "allow", "ALL", "DryRun"]))
    elif isinstance(value, list):
        put(document, path, rng.choice([[], value * 2, value * 60]))


def spell(rng, document, path):
    """A text, or a key, with one character more, less or other."""
    value = find(document, path)
    key = not isinstance(value, str)
    while key and not isinstance(path[-1], str):
        path = path[:-1]
    text = list(path[-1] if key else value)
    at = rng.randrange(len(text) + 1)
    text[at:at + rng.randrange(2)] = rng.choice([[], [rng.choice(LETTERS)], [rng.choice(LETTERS)] * 70])
    if not key:
        put(document, path, "".join(text))
        return
    parent = find(document, path[:-1])
    parent["".join(text)] = parent.pop(path[-1])


def mutations(rng, labs, count, kinds):
    for n in range(count):
        document = copy.deepcopy(rng.choice(labs))
        path = rng.choice(list(places(document)))
        kind = kinds[n % len(kinds)]
        kind(rng, document, path)
        yield kind.__name__, path, document


def verdicts(documents):
    text = "".join(json.dumps(d) + "\n" for d in documents)
    p = subprocess.run([checker()], input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in p.stdout.splitlines()]


def compare(title, validator, cases):
    refused = disagreed = 0
    answers = verdicts([document for _, _, document in cases])
    assert len(answers) == len(cases), "%d verdicts for %d documents" % (len(answers), len(cases))
    for (kind, path, document), answer in zip(cases, answers):
        # nor what a scenario's patch makes of the lab
        by_parser = [e for e in answer["errors"] if e["code"] in SHAPE and not e["message"].startswith("makes of ")]
        by_schema = list(validator.iter_errors(document))
        refused += bool(by_schema)
        if bool(by_schema) != bool(by_parser):
            disagreed += 1
            print("# %s at %s: schema: %s; parser: %s" % (
                kind, list(path), [e.message[:200] for e in by_schema][:2],
                ["%s: %s" % (e["path"], e["message"]) for e in by_parser][:2]))
    # a test that only ever sees one answer proves nothing
    ok = not disagreed and len(cases) // 8 <= refused <= len(cases) * 7 // 8
    print("%s %s (%d mutations, %d refused by both, %d disagreed on)" % (
        "ok" if ok else "not ok", title, len(cases), refused, disagreed))
    return ok


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 20260731
    rng = random.Random(seed)
    labs = list(bases())
    with open(os.path.join(ROOT, "topology", "schema.json"), encoding="utf-8") as f:
        schema = json.load(f)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    print("# seed %d, %d labs" % (seed, len(labs)))
    shape = list(mutations(rng, labs, COUNT, [change_type, add_unknown, drop_member, leave_range]))
    texts = list(mutations(rng, labs, COUNT, [spell]))
    good = all([compare("1 - mutations of shape", validator, shape), compare("2 - mutations of texts", validator, texts)])
    sys.exit(0 if good else 1)


main()
