# SPDX-License-Identifier: Apache-2.0
"""The official anthropic Python client against `fairlead serve` over simulated engines."""
import anthropic
import pytest


@pytest.fixture(name="client")
def fixture_client(router):
    base = router.base_url.removesuffix("/v1")
    return anthropic.Anthropic(base_url=base, api_key="none", max_retries=0)


def ask(text):
    return [{"role": "user", "content": text}]


def test_messages(client):
    answer = client.messages.create(
        model="tiny", max_tokens=5, system="Be brief.", messages=ask("hi"))
    assert answer.role == "assistant"
    assert len(answer.content[0].text) == 20
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 5


def test_messages_streamed(client):
    with client.messages.stream(model="tiny", max_tokens=6, messages=ask("hi")) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert len(text) == 24
    assert final.content[0].text == text
    assert final.usage.output_tokens == 6


def test_tools_and_blocks(client):
    answer = client.messages.create(
        model="tiny", max_tokens=2,
        tools=[{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "call f"}]},
            {"role": "assistant",
             "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
            {"role": "user",
             "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}]}])
    assert answer.usage.output_tokens == 2


def test_count_tokens(client):
    counted = client.messages.count_tokens(model="tiny", messages=ask("hi"))
    answer = client.messages.create(model="tiny", max_tokens=1, messages=ask("hi"))
    assert counted.input_tokens == answer.usage.input_tokens


def test_the_next_turn_finds_the_cache(client):
    history = ask("Tell me about routing. " * 200)
    first = client.messages.create(model="tiny", max_tokens=64, messages=history)
    history.append({"role": "assistant", "content": first.content})
    history += ask("Go on.")
    second = client.messages.create(model="tiny", max_tokens=4, messages=history)
    assert second.usage.cache_read_input_tokens > first.usage.input_tokens - 64


def test_unknown_model_is_a_typed_error(client):
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="nope", max_tokens=1, messages=ask("hi"))
    assert caught.value.body["error"]["type"] == "not_found_error"
    assert "nope" in caught.value.body["error"]["message"]


def test_errors_of_the_engine_arrive(client):
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(model="tiny", max_tokens=0, messages=ask("hi"))


def test_no_engine_is_a_typed_error(engineless):
    client = anthropic.Anthropic(
        base_url=engineless.base_url.removesuffix("/v1"), api_key="x", max_retries=0)
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="m", max_tokens=1, messages=ask("hi"))
    assert caught.value.status_code == 503
    assert caught.value.body["error"]["type"] == "overloaded_error"
