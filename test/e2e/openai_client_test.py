# SPDX-License-Identifier: Apache-2.0
"""The official openai Python client against `fairlead serve` over simulated engines."""
import json
import os
import re
import subprocess
import threading
import time
import urllib.request

import openai
import pytest

BINARY = os.environ["FAIRLEAD_BINARY"]
DEADLINE_S = 30


def wait_for(process, pattern):
    """Reads the process's standard error up to a line that matches, within the deadline."""
    timer = threading.Timer(DEADLINE_S, process.kill)
    timer.start()
    try:
        for line in process.stderr:
            found = re.search(pattern, line)
            if found:
                threading.Thread(target=process.stderr.read, daemon=True).start()
                return found
    finally:
        timer.cancel()
    pytest.fail(f"the program ended before it said {pattern!r}")


def stop(process):
    process.terminate()
    try:
        return process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        pytest.fail("the program did not stop on SIGTERM")


def start(*arguments):
    return subprocess.Popen([BINARY, *arguments], stderr=subprocess.PIPE, text=True)


class Router:
    def __init__(self, engine_ports, gateway_port, admin_port):
        self.engine_ports = engine_ports
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.base_url = f"http://127.0.0.1:{gateway_port}/v1"
        self.client = openai.OpenAI(base_url=self.base_url, api_key="none", max_retries=0)

    def inflight(self):
        with urllib.request.urlopen(self.admin + "/debug/endpoints", timeout=5) as reply:
            rows = json.load(reply)["endpoints"]
        return sum(row["inflight_requests"] for row in rows)

    def wait_until(self, condition):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture(scope="module")
def router():
    engines = start("engine", "--engines", "3", "--base-port", "0", "--speed", "4",
                    "--served-model-name", "tiny", "--lora", "tiny-french")
    ports = wait_for(engines, r"ports((?: \d+)+)").group(1).split()
    flags = [flag for port in ports for flag in ("-e", f"127.0.0.1:{port}")]
    serve = start("serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags)
    gateway, admin = wait_for(serve, r"serving on \S+:(\d+), admin on \S+:(\d+),").groups()
    router = Router(ports, gateway, admin)

    def ready():
        try:
            urllib.request.urlopen(router.admin + "/readyz", timeout=5)
            return True
        except OSError:
            return False

    router.wait_until(ready)
    yield router
    router.wait_until(lambda: router.inflight() == 0)
    assert stop(serve) == 0
    assert stop(engines) == 0


def ask(text):
    return [{"role": "system", "content": "You are brief."}, {"role": "user", "content": text}]


def test_models_are_merged_over_the_fleet(router):
    assert {model.id for model in router.client.models.list()} == {"tiny", "tiny-french"}


def test_chat(router):
    answer = router.client.chat.completions.create(model="tiny", messages=ask("hi"), max_tokens=12)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 12


def test_chat_streamed_with_usage(router):
    stream = router.client.chat.completions.create(
        model="tiny", messages=ask("hi"), max_tokens=12, stream=True,
        stream_options={"include_usage": True})
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert len(text) == 12 * 4
    assert chunks[-1].usage.completion_tokens == 12


def test_completions_text_and_token_ids(router):
    answer = router.client.completions.create(model="tiny", prompt="import os", max_tokens=5)
    assert len(answer.choices[0].text) == 20
    answer = router.client.completions.create(
        model="tiny", prompt=[5, 7360, 28, 462], max_tokens=3)
    assert answer.usage.prompt_tokens == 4


def test_completions_streamed(router):
    stream = router.client.completions.create(
        model="tiny", prompt="import os", max_tokens=6, stream=True)
    assert sum(len(chunk.choices[0].text) for chunk in stream) == 24


def test_the_next_turn_finds_the_cache(router):
    history = ask("Tell me about routing. " * 200)
    first = router.client.chat.completions.create(model="tiny", messages=history, max_tokens=64)
    history.append({"role": "assistant", "content": first.choices[0].message.content})
    history.append({"role": "user", "content": "Go on."})
    second = router.client.chat.completions.create(model="tiny", messages=history, max_tokens=4)
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached > first.usage.prompt_tokens - 64


def test_adapter(router):
    answer = router.client.chat.completions.create(
        model="tiny-french", messages=ask("bonjour"), max_tokens=4)
    assert answer.model == "tiny-french"


def test_unknown_model(router):
    with pytest.raises(openai.NotFoundError) as caught:
        router.client.chat.completions.create(model="nope", messages=ask("hi"))
    assert "nope" in caught.value.message
    assert caught.value.response.headers["x-fairlead-reason"] == "unknown_model"


def test_bad_request(router):
    with pytest.raises(openai.BadRequestError):
        router.client.chat.completions.create(model="tiny", messages="not a list")


def test_prompt_beyond_the_context(router):
    with pytest.raises(openai.BadRequestError) as caught:
        router.client.completions.create(model="tiny", prompt="word" * 300_000, max_tokens=1)
    assert "context" in caught.value.message


def test_cancelled_stream_ends_at_the_engine_too(router):
    stream = router.client.chat.completions.create(
        model="tiny", messages=ask("a long story"), max_tokens=20_000, stream=True)
    next(iter(stream))
    assert router.inflight() == 1
    stream.close()
    router.wait_until(lambda: router.inflight() == 0)

    def running():
        total = 0.0
        for port in router.engine_ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
                text = reply.read().decode()
            total += float(re.search(r"vllm:num_requests_running\{.*\} (\S+)", text).group(1))
        return total

    router.wait_until(lambda: running() == 0)


def test_many_at_once(router):
    answers = []

    def one(number):
        answers.append(router.client.chat.completions.create(
            model="tiny", messages=ask(f"number {number}"), max_tokens=8))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 24
    assert len({answer.id for answer in answers}) == 24


def test_no_engine_is_a_typed_error():
    serve = start("serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                  "-e", "127.0.0.1:9")
    gateway = wait_for(serve, r"serving on \S+:(\d+), admin").group(1)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{gateway}/v1", api_key="x", max_retries=0)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="m", messages=ask("hi"))
    assert caught.value.response.headers["x-fairlead-reason"] == "no_endpoint"
    assert caught.value.response.headers["retry-after"]
    assert stop(serve) == 0
