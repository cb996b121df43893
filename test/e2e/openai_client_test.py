# SPDX-License-Identifier: Apache-2.0
"""The official openai Python client against `fairlead serve` over simulated engines."""
import concurrent.futures
import io
import re
import threading
import urllib.request

import openai
import pytest


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


def test_embeddings(router):
    answer = router.client.embeddings.create(model="tiny", input=["one", "two", "one"])
    vectors = [item.embedding for item in answer.data]
    assert [len(vector) for vector in vectors] == [64] * 3
    assert vectors[0] == vectors[2] != vectors[1]
    assert abs(sum(x * x for x in vectors[0]) - 1) < 1e-5
    assert answer.usage.prompt_tokens == 3
    floats = router.client.embeddings.create(model="tiny", input="one", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(vectors[0])


def test_responses(router):
    answer = router.client.responses.create(
        model="tiny", input="import os", instructions="Be brief.", max_output_tokens=5)
    assert len(answer.output_text) == 20
    assert answer.usage.output_tokens == 5
    answer = router.client.responses.create(model="tiny", max_output_tokens=2, input=[
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"}])
    assert answer.usage.output_tokens == 2


def test_responses_streamed(router):
    stream = router.client.responses.create(
        model="tiny", input="import os", max_output_tokens=5, stream=True)
    events = list(stream)
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == text
    assert events[-1].response.usage.output_tokens == 5


def test_responses_are_continued_where_they_are_kept(router):
    for stream in (False, True, False, True):
        answer = router.client.responses.create(
            model="tiny", input="import os", max_output_tokens=3, stream=stream)
        if stream:
            answer = list(answer)[-1].response
        for _ in range(3):
            total = answer.usage.total_tokens
            answer = router.client.responses.create(
                model="tiny", input="go on", max_output_tokens=3, previous_response_id=answer.id)
            assert answer.usage.input_tokens > total
    with pytest.raises(openai.NotFoundError):
        router.client.responses.create(
            model="tiny", input="go on", previous_response_id="resp_unknown")


def test_transcription(router):
    audio = io.BytesIO(b"RIFF" + bytes(64_000))
    audio.name = "a.wav"
    answer = router.client.audio.transcriptions.create(model="tiny", file=audio)
    assert answer.text
    audio.seek(0)
    with pytest.raises(openai.NotFoundError):
        router.client.audio.transcriptions.create(model="nope", file=audio)


def test_one_model(router):
    assert router.client.models.retrieve("tiny-french").id == "tiny-french"
    with pytest.raises(openai.NotFoundError):
        router.client.models.retrieve("org/nope")


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


def test_no_engine_is_a_typed_error(engineless):
    with pytest.raises(openai.InternalServerError) as caught:
        engineless.client.chat.completions.create(model="m", messages=ask("hi"))
    assert caught.value.response.headers["x-fairlead-reason"] == "no_endpoint"
    assert caught.value.response.headers["retry-after"]


def test_the_first_tokens_of_streams_tell_which_engine_is_slow(uneven):
    def read_first_token(seed):
        words = f"{seed} " + "word " * 3000
        stream = uneven.client.completions.create(
            model="tiny", prompt=words, max_tokens=2, stream=True)
        assert list(stream)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(read_first_token, range(120)))
    fast, slow = (f"127.0.0.1:{port}" for port in uneven.engine_ports)
    uneven.wait_until(lambda: uneven.slowness()[slow] > 1.3)
    assert uneven.slowness()[fast] <= 1
