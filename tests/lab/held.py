# SPDX-License-Identifier: MIT
"""Connections that the product holds open for this process, and what became of them."""
import json
import os

from product import Unix


def _post(product, lab, rest, body):
    door = Unix(os.path.join(product.run, "sandboxd.sock"))
    door.request("POST", "/v1/labs/%s/connections%s" % (lab, rest), json.dumps(body))
    answer = door.getresponse()
    text = answer.read()
    door.close()
    assert answer.status == 200, text
    return json.loads(text)


def hold(product, lab, name, source, target, port):
    """Opens a connection that stays; it has to open."""
    got = _post(product, lab, "", {"connection": name, "from": source, "to": target, "port": port})
    assert got["result"] == "open", got
    return got


def state(product, lab, name, timeout=1):
    """"alive", "silent", "reset" or "closed", by a message that is sent over it."""
    return _post(product, lab, "/" + name, {"timeout": timeout})["result"]


def alive(product, lab, name):
    """A message that was lost before is sent again when its time has come: so with patience."""
    return state(product, lab, name, 8) == "alive"
