# SPDX-License-Identifier: MIT
"""topology/examples/shop.json: PostgreSQL and nginx as instances' programs, a database driver and a middleware package in functions."""
import json
import os
import shutil

import pytest

from product import ROOT, wait_until
from test_async import lines
from test_invoke import call

EXAMPLES = os.path.join(ROOT, "topology", "examples")
MIDDY = os.path.join(ROOT, "build", "npm", "node_modules", "@middy", "core")


@pytest.fixture
def path(tmp_path):
    """The example, with what npm would put into its layer."""
    if not os.path.isdir(MIDDY):
        pytest.skip("@middy/core comes from npm, which 'make deps' could not reach")
    shutil.copy(os.path.join(EXAMPLES, "shop.json"), tmp_path)
    shutil.copytree(os.path.join(EXAMPLES, "shop"), tmp_path / "shop")
    with open(os.path.join(EXAMPLES, "shop", "layer", "nodejs", "package.json")) as a, \
            open(os.path.join(ROOT, "tests", "npm", "package.json")) as b:
        name = "@middy/core"
        assert json.load(a)["dependencies"][name] == json.load(b)["devDependencies"][name]
    shutil.copytree(MIDDY, tmp_path / "shop" / "layer" / "nodejs" / "node_modules" / "@middy" / "core")
    return str(tmp_path / "shop.json")


def ask(product, sql):
    return product.vpclab("exec", "shop", "db", "--", "/usr/lib/postgresql/15/bin/psql", "-h", "/tmp", "-U", "postgres",
                          "-Atc", sql, "shop", check=0).out.strip()


def test_the_shop_works(product, path):
    """Its expectations; whom the database serves; and what became of a notification without an address."""
    product.up(path)
    got = product.json("test", "shop")
    assert (got["passed"], got["failed"]) == (15, 0), got
    # the database sees the function's interface, on the connection that is kept
    eni = product.show("shop", "functions/order")["places"][0]["address"]
    assert ask(product, "SELECT DISTINCT client_addr FROM pg_stat_activity WHERE usename = 'app'") == eni
    assert ask(product, "SELECT count(*) FROM items") == "2"
    # three attempts with one id, then the dead letter
    status, headers, _ = call(product, "notify", b'{"to": "nobody"}', "shop", X_Amz_Invocation_Type="Event")
    assert status == 202
    wait_until(lambda: lines(product, "undelivered", "shop"), "the dead letter", 30)
    letter, = lines(product, "undelivered", "shop")
    assert letter["message"] == {"to": "nobody"} and letter["attributes"]["RequestID"] == headers["x-amzn-requestid"]
    log = product.vpclab("logs", "shop", "notify").out
    assert log.count("START RequestId: " + headers["x-amzn-requestid"]) == 3
    # a price that changes is charged by the next order, and other people's orders don't get in
    ask(product, "UPDATE items SET price = 31 WHERE name = 'lamp'")
    assert json.loads(call(product, "order", b'{"item": "lamp"}', "shop")[2])["price"] == 31
    item = json.dumps({"item": "x' OR 1 = 1 --"}).encode()
    assert json.loads(call(product, "order", item, "shop")[2])["errorType"] == "LookupError"
