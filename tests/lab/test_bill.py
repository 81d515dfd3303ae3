# SPDX-License-Identifier: MIT
"""The bill of a lab's functions follows from their REPORT lines; a log's lines are of the environment that wrote them."""
import re
import textwrap

import pytest

from test_invoke import call

REPORT = re.compile(r"REPORT RequestId: \S+\tDuration: ([0-9.]+) ms\tBilled Duration: ([0-9]+) ms\tMemory Size: ([0-9]+) MB\t"
                    r"Max Memory Used: [0-9]+ MB\t(?:Init Duration: ([0-9.]+) ms)?")
HANG = textwrap.dedent("""\
    #!/bin/sh
    read line
    case $line in *hang*) exec sleep 60;; *fail*) exit 3;; esac
    echo "$line"
    """)


def lab(more=None):
    functions = {"small": {"runtime": "exec", "command": ["cat"]},
                 "large": {"runtime": "exec", "command": ["cat"], "memory_size": 1024},
                 "odd": {"runtime": "exec", "command": ["/bin/sh", "-c", HANG], "timeout": 1}}
    return {"version": 1, "lab": "bill", "functions": functions if more is None else more}


def reports(product, function):
    out = product.vpclab("logs", "bill", function, check=0).out
    assert out.count("REPORT RequestId") == len(REPORT.findall(out)), out
    return [(round(float(ms) * 100), int(billed), int(mb), round(float(init or 0) * 100))
            for ms, billed, mb, init in REPORT.findall(out)]


def bill(product):
    return product.json("bill", "bill")


@pytest.mark.ids("BILL-1", "BILL-2", kind="state")
@pytest.mark.mutant("bill-init", "bill-memory", "bill-free-tier")
def test_the_bill_is_the_sum_of_the_reports(fresh):
    """Warm and cold, failed and timed out: each has a REPORT, whose billed duration is its own and its init's, rounded
    up; the bill has each once, also after the daemon was killed and a function went."""
    fresh.start()
    fresh.up(lab())
    assert bill(fresh)["functions"] == {} and bill(fresh)["total_without_free_tier"] == 0
    for _ in range(3):
        assert call(fresh, "small", b"{}", lab="bill")[0] == 200
        assert call(fresh, "large", b"{}", lab="bill")[0] == 200
    for event in (b'{"a": 1}', b'"fail"', b'"hang"', b'{"a": 2}'):
        assert call(fresh, "odd", event, lab="bill")[0] == 200
    fresh.kill("sandboxd")
    fresh.start()
    assert call(fresh, "small", b"{}", lab="bill")[0] == 200
    got, requests, gb_s = bill(fresh), 0, 0.0
    assert sorted(got["functions"]) == ["large", "odd", "small"]
    for function, want in (("small", 4), ("large", 3), ("odd", 4)):
        lines, of = reports(fresh, function), got["functions"][function]
        assert len(lines) == of["requests"] == want
        assert all(billed == max(1, -(-(ms + init) // 100)) for ms, billed, _, init in lines), lines
        assert {mb for _, _, mb, _ in lines} == {1024 if function == "large" else 128}
        assert of["billed_ms"] == sum(billed for _, billed, _, _ in lines)
        assert of["gb_seconds"] == pytest.approx(sum(b * mb for _, b, mb, _ in lines) / 1024000, abs=1e-12)
        requests += want
        gb_s += of["gb_seconds"]
    assert max(init for *_, init in reports(fresh, "small")) > 0
    assert (got["requests"], got["currency"], got["total"]) == (requests, "USD", 0)
    assert got["free_tier"] == {"requests": requests, "gb_seconds": pytest.approx(gb_s)}
    assert got["total_without_free_tier"] == pytest.approx(requests * 0.2e-6 + gb_s * 0.0000166667)
    fresh.up(lab({"small": lab()["functions"]["small"]}))
    assert bill(fresh)["functions"] == got["functions"], "what was used is to be paid"
    text = fresh.vpclab("bill", "bill", check=0).out
    assert re.search(r"^small +4 +%d " % got["functions"]["small"]["billed_ms"], text, re.M), text
    assert "total      $0.000000; without the free tier $%.6f" % got["total_without_free_tier"] in text
    assert fresh.vpclab("bill", "nothing").rc == 3
    fresh.vpclab("down", "bill", check=0)
    fresh.up(lab())
    assert bill(fresh)["functions"] == {}, "another lab"
