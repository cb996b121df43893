# SPDX-License-Identifier: Apache-2.0
"""The shipped Envoy configurations, and the real Envoy with them, without a picker."""
import contextlib
import glob
import hashlib
import json
import os
import subprocess

import pytest
from envoy_peer import RENDER, ROOT, DigestEngine, Envoy, chat, envoy_binary, post, render

SHIPPED = sorted(glob.glob(os.path.join(ROOT, "deploy/envoy/*.yaml")))


@pytest.fixture
def engines():
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(DigestEngine()) for _ in range(3)]


def envoy(variant, engines=(), **options):
    return Envoy(render(variant, listen=0, admin=0, listen_address="127.0.0.1",
                        upstreams=[e.address for e in engines], **options))  # fmt: skip


def test_every_variant_is_shipped_as_the_template_makes_it():
    names = {os.path.basename(path).removesuffix(".yaml") for path in SHIPPED}
    assert names == set(RENDER.VARIANTS)
    for path in SHIPPED:
        with open(path, encoding="utf-8") as file:
            variant = os.path.basename(path).removesuffix(".yaml")
            assert file.read() == render(variant), "run deploy/envoy/render.py --write"


@pytest.mark.parametrize("path", SHIPPED, ids=os.path.basename)
def test_envoy_takes_every_shipped_configuration(path):
    done = subprocess.run([envoy_binary(), "--mode", "validate", "-c", path], check=False,
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_header_chooses_the_engine(engines):
    with envoy("epp", without_picker="by-header") as proxy:
        for engine in engines:
            body = chat(1_000_000)
            status, _, answer = post(
                proxy.port, body, {"x-gateway-destination-endpoint": engine.address}
            )
            assert status == 200
            assert json.loads(answer)["port"] == engine.port
            assert json.loads(answer)["sha256"] == hashlib.sha256(body).hexdigest()
        status, _, _ = post(proxy.port, chat())
        assert status == 503, "nowhere to go"
        both = ",".join(engine.address for engine in engines)
        status, _, _ = post(proxy.port, chat(), {"x-gateway-destination-endpoint": both})
        assert status == 503, "a list is no address here; README.md says so"


@pytest.mark.parametrize("size", [0, 1_000_000, 4_000_000])
def test_the_list_is_tried_in_order(engines, size):
    first, second, third = engines
    with envoy("epp-fallback", engines, without_picker="by-header") as proxy:
        order = {"x-gateway-destination-endpoint": f"{first.address},{third.address}"}
        status, headers, answer = post(proxy.port, chat(size), order)
        assert (status, json.loads(answer)["port"]) == (200, first.port)
        first.close()
        for _ in range(5):
            body = chat(size)
            status, _, answer = post(proxy.port, body, order)
            assert (status, json.loads(answer)["port"]) == (200, third.port)
            assert json.loads(answer)["sha256"] == hashlib.sha256(body).hexdigest()
        # Nobody's word: any engine that Envoy knows.
        ports = {json.loads(post(proxy.port, chat())[2])["port"] for _ in range(8)}
        assert ports == {second.port, third.port}


def test_a_dead_picker_fails_requests_closed_or_open(engines):
    with envoy("epp", picker=1) as proxy:
        assert post(proxy.port, chat())[0] == 500
    with envoy("epp-fail-open", engines, picker=1) as proxy:
        for size in (0, 20_000, 1_000_000, 4_000_000):
            body = chat(size)
            status, headers, answer = post(proxy.port, body)
            assert status == 200
            assert json.loads(answer)["sha256"] == hashlib.sha256(body).hexdigest()
            assert "x-gateway-destination-endpoint-served" not in headers
        assert proxy.counter("ext_proc.failure_mode_allowed") == 4


def test_the_clients_own_choice_is_removed(engines):
    with envoy("epp-fail-open", engines, picker=1) as proxy:
        header = {"x-gateway-destination-endpoint": engines[0].address}
        seen = [json.loads(post(proxy.port, chat(), header)[2]) for _ in range(12)]
    assert len({answer["port"] for answer in seen}) == 3
    assert all(answer["destination"] == [] for answer in seen)
