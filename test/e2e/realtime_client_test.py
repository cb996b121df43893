# SPDX-License-Identifier: Apache-2.0
"""The `websockets` client against `/v1/realtime` of `fairlead serve` over simulated engines."""
import contextlib
import json
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


def open_socket(router, query="?model=tiny", **options):
    url = router.base_url.replace("http:", "ws:") + "/realtime" + query
    return connect(url, proxy=None, **options)


def metric(router, name):
    with urllib.request.urlopen(router.admin + "/metrics", timeout=5) as reply:
        lines = reply.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


def answer(socket, text):
    socket.send(text)
    words = []
    while (event := json.loads(socket.recv(10)))["type"] != "response.done":
        words.append(event["delta"])
    return words


def test_texts_are_answered_and_the_closing_handshake_ends_it(router):
    with open_socket(router, compression=None) as socket:
        assert socket.response.headers["x-fairlead-endpoint"]
        assert json.loads(socket.recv(10))["type"] == "session.created"
        socket.send(json.dumps({"type": "session.update", "model": "tiny"}))
        assert json.loads(socket.recv(10))["type"] == "session.updated"
        assert len(answer(socket, "x" * 40)) == 10
        assert len(answer(socket, "y" * 800)) == 200
        assert socket.ping().wait(10)
        assert router.inflight() == 1
    router.wait_until(lambda: router.inflight() == 0)
    assert metric(router, 'fairlead_tunnels_total{end="closed"}') == 1
    assert metric(router, "fairlead_tunnels_open") == 0


def test_many_sessions_are_spread_over_the_engines(router):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(open_socket(router)) for _ in range(6)]
        assert len({socket.response.headers["x-fairlead-endpoint"] for socket in sockets}) == 3


def test_what_the_engine_does_not_take_closes_with_its_code(router):
    with open_socket(router) as socket:
        socket.recv(10)
        socket.send(b"binary")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
        assert closed.value.rcvd.code == 1003


@pytest.mark.parametrize("query, status", [("", 400), ("?model=nobody", 404)])
def test_a_refused_handshake_has_its_status(router, query, status):
    with pytest.raises(InvalidStatus) as refused:
        open_socket(router, query)
    assert refused.value.response.status_code == status
