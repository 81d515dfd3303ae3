# SPDX-License-Identifier: MIT
"""Fixtures of the lab tests: real daemons, real packets, each test file in a run directory of its own."""
import os
import signal

import pytest

from product import Product


def pytest_configure(config):
    config.addinivalue_line("markers", "asan: part of the third that also runs under sanitizers")
    config.addinivalue_line("markers", "ids(*ids): the statements of AWS's behaviour that a test shows")
    config.addinivalue_line("markers", "mutant(*names): the mutants that this test is meant to catch")
    # whoever runs us in the background ignores it, and so would all that we start
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() != 0:
        pytest.exit("lab tests need root", 2)


@pytest.fixture(scope="module")
def product():
    """An instance of the product with its daemons running, shared by a file's tests."""
    p = Product()
    try:
        p.start()
        yield p
    finally:
        p.close()


@pytest.fixture
def fresh():
    """An instance of the product for one test alone; not started."""
    p = Product()
    try:
        yield p
    finally:
        p.close()


@pytest.fixture(autouse=True)
def _nothing_stays(request):
    """Labs of a test are gone after it, whatever happened."""
    yield
    if "product" in request.fixturenames:
        p = request.getfixturevalue("product")
        p.vpclab("down", "--all")
