# SPDX-License-Identifier: Apache-2.0
"""`fairlead serve` with the policy fairlead-exact over two real vLLM engines (`make e2e T=vllm`).

What engines tell, and what the router's own tokenizer makes of a prompt, must give the very number
of cached tokens that the engine reports afterwards, whatever became of its cache in between.
"""
import contextlib
import json
import os
import random
import re
import subprocess
import urllib.request

import pytest

from conftest import stop, wait_for
from envoy_peer import post, wait_until
from vllm_peer import BLOCK, Vllm, is_installed, make_model

BLOCKS = 128  # Of an engine's cache: few, so that it evicts.
WORDS = """router engine prefix cache block token queue prompt answer stream score policy Grüße 你好
    naïve 🚀 import return {"key": [1,2.5,null]} \\n\\t <b>""".split()


def text(seed, words):
    chance = random.Random(seed)
    return " ".join(chance.choice(WORDS) for _ in range(words))


def user(content):
    return {"role": "user", "content": content}


class Router:
    """`fairlead serve` over the engines, and what it says of each request."""

    def __init__(self, engines, model, folder, name):
        self.model = model
        self.engines = {engine.name: engine for engine in engines}
        self.access_log = os.path.join(folder, f"{name}.access.log")
        config = os.path.join(folder, f"{name}.yaml")
        rows = [{"name": e.name, "address": e.address, "labels": e.labels} for e in engines]
        settings = {
            "gateway": {"listen": ["127.0.0.1:0"], "adminListen": "127.0.0.1:0",
                        "accessLog": self.access_log},
            "fleet": {"endpoints": rows, "scrapeInterval": "1s",
                      "health": {"ejectMax": "5s", "returnRamp": "0s"}},
            "tokens": {"models": [{"model": "tiny", "folder": model}], "deadline": "10s"},
        }  # fmt: skip
        with open(config, "w", encoding="utf-8") as file:
            json.dump(settings, file)
        command = [os.environ["FAIRLEAD_BINARY"], "serve", "-c", config, "--policy",
                   "fairlead-exact"]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.port, self.admin = map(int, wait_for(
            self.process, r"serving on \S+:(\d+), admin on \S+:(\d+),").groups())  # fmt: skip
        self.sent = 0
        # By engines that were restarted since: nobody can ask for it any more.
        self.gone = sum(engine.published_before for engine in engines)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as reply:
            return reply.read().decode()

    def metric(self, name):
        """The sum over all samples whose name and labels begin so."""
        found = re.findall(rf"^{re.escape(name)}\S* (\S+)$", self.get("/metrics"), re.M)
        return sum(map(float, found))

    def batches(self):
        return sum(self.metric(f'fairlead_kv_event_batches_total{{result="{result}"')
                   for result in ("applied", "replayed"))  # fmt: skip

    def send(self, path, body):
        """What the access log says of a request through the gateway."""
        self.sent += 1
        name = f"{os.path.basename(self.access_log)}-{self.sent}"
        status, _, answer = post(self.port, json.dumps(body), {"x-request-id": name}, path, 120)
        assert status == 200, answer

        def line():
            with open(self.access_log, encoding="utf-8") as file:
                lines = [json.loads(one) for one in file if one.endswith("\n")]
            return next((one for one in lines if one["request_id"] == name), None)

        return wait_until(line, "the request's line in the access log")

    def catch_up(self):
        """Waits until as much was heard as engines say that they have published."""

        def is_level():
            published = sum(engine.published() for engine in self.engines.values())
            return self.batches() == published - self.gone

        wait_until(is_level, "all events that were published")

    def send_past(self, engine, body):
        """To an engine; the router knows of it from events alone. How much the engine had of it."""
        usage = engine.post("/v1/completions", body)["usage"]
        self.catch_up()
        return usage["prompt_tokens_details"]["cached_tokens"]

    def stop(self):
        return stop(self.process)

    def saw(self, record):
        """By endpoint, what the decision saw."""
        told = json.loads(self.get(f"/debug/explain?request_id={record['request_id']}"))
        return {row["endpoint"]: row["saw"] for row in told["decisions"][-1]["rows"]}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    if not is_installed():
        required = os.environ.get("REQUIRE_PEERS") == "1"
        pytest.exit("no .vllm/: run `make e2e T=vllm`", 1 if required else 77)
    folder = str(tmp_path_factory.mktemp("vllm"))
    model = make_model(os.path.join(folder, "model"))
    with contextlib.ExitStack() as exits:
        engines = [Vllm(name, model, folder, BLOCKS) for name in ("e0", "e1")]
        for engine in engines:
            exits.callback(engine.stop)
            engine.start()
        for engine in engines:
            engine.wait()
        router = Router(engines, model, folder, "first")
        exits.callback(router.stop)
        yield router


def predicted_truly(record):
    """The prediction equals what the engine found."""
    usage = record["usage"]
    assert record["prompt_tokens"] == usage["prompt_tokens"], record
    assert record["predicted_cached_tokens"] == usage["cached_tokens"], record
    return usage["cached_tokens"]


class Talk:
    """A conversation in chats, or a text that grows, or token ids that do."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.system = text(seed % 3, 60)  # Shared by some.
        self.messages = [{"role": "system", "content": self.system}]
        self.kind = ("chat", "stream", "text", "ids", "salted")[seed % 5]
        self.ids = [100 + seed % 3] * 70
        self.prompt = self.system
        self.last = None

    def turn(self):
        if self.last is None or self.chance.random() < 0.7:
            self.last = self.next_turn()
        return self.last  # Asked once more, as it was.

    def next_turn(self):
        said = text(self.chance.random(), 5 + self.chance.randrange(30))
        common = {"model": "tiny", "temperature": 0, "ignore_eos": True,
                  "max_tokens": 1 + self.chance.randrange(50)}  # fmt: skip
        if self.kind == "ids":
            # Whole blocks: the engine computes the last one again, and then has it twice.
            more = BLOCK * self.chance.randrange(1, 5) - len(self.ids) % BLOCK
            self.ids = self.ids + [self.chance.randrange(3, 2048) for _ in range(more)]
            return "/v1/completions", {"prompt": self.ids, **common}
        if self.kind == "text":
            self.prompt += said
            return "/v1/completions", {"prompt": self.prompt, **common}
        self.messages.append(user(said))
        body = {"messages": list(self.messages), **common}
        self.messages.append({"role": "assistant", "content": said[::-1]})
        if self.kind == "salted":
            body["cache_salt"] = "tenant \u00e9"
        if self.kind == "stream":
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return "/v1/chat/completions", body


def converse(router, seeds, turns):
    """Talks by turns in a random order; returns the records."""
    talks = [Talk(seed) for seed in seeds]
    order = [talk for talk in talks for _ in range(turns)]
    random.Random(seeds[0]).shuffle(order)
    return [router.send(*talk.turn()) for talk in order]


def test_predictions_come_true(fleet):
    """Requests one after the other, without a pause for events; caches are too small for them."""
    records = converse(fleet, range(20), 6)
    hits = [predicted_truly(record) for record in records]
    assert sum(hits) > len(hits) * 100, hits
    assert {record["endpoint"] for record in records} == set(fleet.engines)
    # The last token of a prompt is computed again, and with it all of its block.
    ids = [7] * (3 * BLOCK)
    for expected in (0, 2 * BLOCK, 2 * BLOCK):
        record = fleet.send("/v1/completions", {"model": "tiny", "prompt": ids, "max_tokens": 1})
        assert predicted_truly(record) == expected
    fleet.catch_up()
    assert fleet.metric("fairlead_kv_index_removed_blocks_total") > 100


def test_no_event_is_missed(fleet):
    fleet.catch_up()
    assert fleet.metric('fairlead_kv_event_streams{trust="trusted"') == len(fleet.engines)
    batches = {result: fleet.metric(f'fairlead_kv_event_batches_total{{result="{result}"')
               for result in ("replayed", "duplicate", "late", "lost", "malformed", "dropped")}
    # The first batches are published while the router asks for what it may have missed: they come
    # by both ways then, and by no other way twice.
    assert batches.pop("duplicate") <= batches.pop("replayed")
    assert set(batches.values()) == {0}, batches
    for name in ("event_gaps", "event_restarts", "event_resets", "index_conflicts",
                 "index_refused_blocks", "index_forgotten_blocks"):  # fmt: skip
        assert fleet.metric(f"fairlead_kv_{name}_total") == 0, name
    assert fleet.metric('fairlead_kv_event_messages_total{kind="garbage"') == 0
    assert fleet.metric("fairlead_kv_index_orphan_blocks") == 0


CALL = {"id": "c1", "type": "function",
        "function": {"name": "f", "arguments": '{"b":  1, "a":"\u00e9"}'}}  # fmt: skip
TOOLS = [{"type": "function", "function": {"parameters": {"z": 1, "a": "<\u00e9>"}, "name": "f"}},
         {"type": "function", "function": {"name": "g", "strict": True, "description": "\u00dc"}}]
CHATS = [  # "LONG" stands for some blocks of text.
    {"messages": [user("LONG")]},
    {"messages": [{"role": "developer", "content": "LONG"}, user("")]},
    {"messages": [user("LONG")], "chat_template_kwargs": {"enable_thinking": False}},
    {"messages": [{"role": "developer", "content": "LONG"}, user("a"),
                  {"role": "system", "content": [{"type": "text", "text": "b"}]}, user("c")]},
    {"messages": [user([{"type": "text", "text": "LONG"}, {"type": "text", "text": " b"}])]},
    {"messages": [user("LONG")], "tools": TOOLS},
    {"messages": [user("a"), {"role": "assistant", "content": None, "tool_calls": [CALL]},
                  {"role": "tool", "tool_call_id": "c1", "content": "LONG"}]},
    {"messages": [user("LONG"), {"role": "assistant", "content": None, "tool_calls": [CALL]},
                  {"role": "tool", "tool_call_id": "c1", "content": [
                      {"type": "text", "text": "d"}, {"type": "text", "text": "e"}]}]},
    {"messages": [user("LONG"), {"role": "assistant", "content": "<think>\nhm\n</think>\n\nhi"},
                  user("more")]},
    {"messages": [user("LONG"), {"role": "assistant", "reasoning": "why", "content": "hi"}]},
    {"messages": [user("LONG"), {"role": "assistant", "content": "The answer"}],
     "add_generation_prompt": False, "continue_final_message": True},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CHATS)))
def test_chats_become_the_tokens_of_the_engine(fleet, number):
    """What /tokenize makes of the chat is sent past the router, as token ids, to one engine, whose
    events then say what it holds; the chat itself must be routed there for all of its blocks."""
    long = json.dumps(text(f"chat {number}", 120))[1:-1]
    chat = {"model": "tiny", **json.loads(json.dumps(CHATS[number]).replace("LONG", long))}
    engine = list(fleet.engines.values())[number % 2]
    tokens = engine.post("/tokenize", chat)["tokens"]
    held = fleet.send_past(engine, {"model": "tiny", "prompt": tokens, "max_tokens": 1})
    assert held <= BLOCK, "it is new but for what the template begins with"
    if "tools" in chat:
        chat["tool_choice"] = "none"  # The engine has no parser for calls.
    record = fleet.send("/v1/chat/completions", {**chat, "max_tokens": 1})
    assert record["prompt_tokens"] == len(tokens)
    assert predicted_truly(record) == (len(tokens) - 1) // BLOCK * BLOCK > 0
    assert (record["endpoint"], record["reason"]) == (engine.name, "prefix")


def test_a_router_that_comes_late_knows_what_it_missed(fleet, tmp_path):
    engines = list(fleet.engines.values())
    bodies = [{"model": "tiny", "prompt": text(f"late {i}", 60), "max_tokens": 1} for i in range(4)]
    before = [fleet.send("/v1/completions", body) for body in bodies]
    late = Router(engines, fleet.model, tmp_path, "late")
    try:
        wait_until(lambda: late.metric('fairlead_kv_event_streams{trust="trusted"') == 2,
                   "what was published to be asked for")  # fmt: skip
        for body, first in zip(bodies, before, strict=True):
            again = late.send("/v1/completions", body)
            assert predicted_truly(again) > 0
            assert again["endpoint"] == first["endpoint"]
        assert late.metric('fairlead_kv_event_batches_total{result="replayed"') > 50
    finally:
        assert late.stop() == 0


def test_a_cleared_cache_is_known_to_be_empty(fleet):
    body = {"model": "tiny", "prompt": text("cleared", 60), "max_tokens": 1}
    holder = fleet.engines[fleet.send("/v1/completions", body)["endpoint"]]
    assert predicted_truly(fleet.send("/v1/completions", body)) > 0
    holder.post("/reset_prefix_cache", {})
    # It tells so with its next step.
    fleet.send_past(holder, {"model": "tiny", "prompt": text("next", 40), "max_tokens": 1})
    record = fleet.send("/v1/completions", body)
    assert fleet.saw(record)[holder.name]["cached_tokens"] == 0
    assert predicted_truly(record) == 0


def test_an_engine_that_was_restarted_holds_nothing_and_is_followed_again(fleet):
    body = {"model": "tiny", "prompt": text("restart", 60), "max_tokens": 1}
    victim = fleet.engines[fleet.send("/v1/completions", body)["endpoint"]]
    assert predicted_truly(fleet.send("/v1/completions", body)) > 0
    victim.stop()
    other = fleet.send("/v1/completions", body)
    assert other["endpoint"] != victim.name
    assert predicted_truly(other) == 0
    victim.start()
    victim.wait()
    fresh = {"model": "tiny", "prompt": text("after", 60), "max_tokens": 1}
    fleet.send_past(victim, fresh)
    wait_until(lambda: victim.name in fleet.saw(fleet.send("/v1/completions", body)),
               "the engine to be asked again")  # fmt: skip
    record = fleet.send("/v1/completions", fresh)
    assert (record["endpoint"], predicted_truly(record) > 0) == (victim.name, True)
    saw = fleet.saw(fleet.send("/v1/completions", body))
    assert (saw[victim.name]["cached_tokens"], saw[victim.name]["cache_trust"]) == (0, 1)
    assert saw[other["endpoint"]]["cached_tokens"] > 0
    records = converse(fleet, range(40, 50), 4)
    assert {record["endpoint"] for record in records} == set(fleet.engines)
    assert sum(predicted_truly(record) for record in records) > 0
    assert fleet.metric('fairlead_kv_event_streams{trust="trusted"') == len(fleet.engines)
