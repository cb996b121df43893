#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what transformers makes of chats and texts, for src/io/text's tests.

    python3 test/text/record.py FOLDER

Needs `transformers` and `jinja2` of the versions that FOLDER/recorded.json names (a scratch
environment is enough: nothing of the project needs them). Trains small tokenizers of several kinds
on the project's own documents, puts each beside a chat template of ours into FOLDER/<model>, and
writes FOLDER/recorded.json: every conversation of conversations() under every template, rendered
or refused, and the token ids of rendered and plain texts.
"""
import datetime
import glob
import json
import os
import random
import sys

import jinja2
import tokenizers
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
NOW = 1_735_689_600  # 1 January 2025, UTC.
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def corpus():
    files = sorted(glob.glob(f"{ROOT}/docs/*.md")) + [f"{ROOT}/README.md"]
    for file in files:
        with open(file, encoding="utf-8") as text:
            yield text.read()
    yield "Grüße, façade, 你好世界 今天天气很好, こんにちは, Привет, мир! 🚀🎉 naïve café"


def byte_bpe(pattern, special, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    if pattern is None:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def sentencepiece_bpe(special):
    """The shape of Llama 2 and Mistral: a normaliser in place of a pre-tokeniser, byte fallback."""
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special + pieces, limit_alphabet=120, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.pre_tokenizer = None
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)]
    )
    return tokenizer


def unigram(special):
    """The shape of T5 and newer Mistral: Metaspace that treats the first piece alone."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    trainer = trainers.UnigramTrainer(
        vocab_size=700, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    eos = tokenizer.token_to_id("</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", eos)]
    )
    return tokenizer


def wordpiece(special):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=700, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    cls, sep = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    return tokenizer


# name: (tokenizer, its special tokens by role)
def trained():
    chatml = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    yield "chatml", byte_bpe(None, chatml), {"eos_token": "<|im_end|>", "pad_token": chatml[0]}
    qwen = chatml + ["<|vision_start|>", "<|image_pad|>", "<|vision_end|>"]
    nfc = normalizers.NFC()
    yield "qwen", byte_bpe(QWEN, qwen, nfc), {"eos_token": "<|im_end|>", "pad_token": chatml[0]}
    llama = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    made = byte_bpe(LLAMA3, llama)
    made.post_processor = processors.TemplateProcessing(
        single=f"{llama[0]} $A", pair=f"{llama[0]} $A $B", special_tokens=[(llama[0], 0)]
    )
    yield "llama3", made, {"bos_token": llama[0], "eos_token": llama[3]}
    mistral = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]",
               "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"]
    roles = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    yield "mistral", sentencepiece_bpe(mistral), roles
    turn = ["<unk>", "</s>", "<|turn|>"]
    yield "plain", unigram(turn), {"eos_token": "</s>", "unk_token": "<unk>"}
    bert = ["[UNK]", "[CLS]", "[SEP]", "[PAD]"]
    yield "words", wordpiece(bert), {"unk_token": "[UNK]", "sep_token": "[SEP]"}


def tool(name, **properties):
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"What {name} does, in \"words\" & <signs> – ümlaut.",
            "parameters": {
                "type": "object", "properties": properties, "required": list(properties)
            },
        },
    }


WEATHER = tool("get_weather", city={"type": "string"}, days={"type": "integer", "default": 3})
SEARCH = tool("search", query={"type": "string", "enum": ["a", "b'c", "d\\e"]},
              weight={"type": "number", "maximum": 1e-05, "minimum": -1.5, "multipleOf": 1e22})


def conversations():
    user = {"role": "user", "content": "What is a KV cache?"}
    system = {"role": "system", "content": "  You are terse.\n"}
    answer = {"role": "assistant", "content": "A store of keys and values.  "}
    yield "user", {"messages": [user]}
    yield "system", {"messages": [system, user]}
    yield "generation", {"messages": [system, user], "add_generation_prompt": True}
    turns = [system, user, answer, {"role": "user", "content": "And a prefix?\n\n"}]
    yield "turns", {"messages": turns, "add_generation_prompt": True}
    yield "continued", {"messages": [user, answer], "continue_final_message": True}
    partial = {"role": "assistant", "content": "It is"}
    yield "continued_bare", {"messages": [system, user, partial], "continue_final_message": True}
    yield "both", {"messages": [user, partial], "continue_final_message": True,
                   "add_generation_prompt": True}
    foreign = "Grüße, 你好世界 — こんにちは 🚀🎉 e\u0301 \u200d <|im_end|> </s> [INST] \t\r\n x"
    yield "unicode", {"messages": [{"role": "user", "content": foreign}],
                      "add_generation_prompt": True}
    yield "empty", {"messages": [{"role": "user", "content": ""}], "add_generation_prompt": True}
    yield "wrong_order", {"messages": [answer, user]}
    yield "two_users", {"messages": [user, user]}
    yield "odd_role", {"messages": [{"role": "critic", "content": "no"}]}
    yield "null_fields", {"messages": [{"role": "user", "content": "x", "name": None},
                                       {"role": "assistant", "content": None, "tool_calls": None}]}
    tools = [WEATHER, SEARCH]
    yield "tools", {"messages": [system, user], "tools": tools, "add_generation_prompt": True}
    yield "tools_alone", {"messages": [user], "tools": [WEATHER], "add_generation_prompt": True}
    arguments = {"city": "Zürich", "days": 2, "exact": True, "none": None, "list": [1, 2.0, "x"]}
    call = {"role": "assistant", "content": "", "tool_calls": [
        {"id": "call12345", "type": "function",
         "function": {"name": "get_weather", "arguments": arguments}}]}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "call12345",
              "content": '{"sky": "clear", "degrees": 21.5}'}
    final = {"role": "assistant", "content": "Clear, 21.5 degrees."}
    yield "tool_call", {"messages": [user, call], "tools": tools}
    yield "tool_result", {"messages": [user, call, result], "tools": tools,
                          "add_generation_prompt": True}
    yield "tool_answer", {"messages": [system, user, call, result, final, user], "tools": tools,
                          "add_generation_prompt": True}
    thought = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes.", }
    yield "thought", {"messages": [user, thought, user], "add_generation_prompt": True}
    reasoned = {"role": "assistant", "content": "Yes.", "reasoning": "hm"}
    yield "reasoning", {"messages": [user, reasoned, user], "add_generation_prompt": True}
    picture = {"role": "user", "content": [
        {"type": "text", "text": "What is this?"}, {"type": "image"},
        {"type": "text", "text": "Be brief."}]}
    yield "image", {"messages": [system, picture], "add_generation_prompt": True}
    yield "text_parts", {"messages": [{"role": "user", "content": [
        {"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}]}
    yield "kwargs", {"messages": [user], "add_generation_prompt": True,
                     "chat_template_kwargs": {"enable_thinking": False, "custom": [1, {"a": 0.1}]}}
    yield "documents", {"messages": [user], "documents": [{"title": "T", "text": "body\n"}],
                        "add_generation_prompt": True}
    chance = random.Random(7)
    for number in range(12):
        words = "cache block prefix token né 好 🚀 \n {{x}} {% if %} 'q' \"d\" <b> 1e5 \\".split(" ")
        messages = [system] if chance.random() < 0.5 else []
        for turn in range(chance.randrange(1, 7)):
            text = " ".join(chance.choice(words) for _ in range(chance.randrange(40)))
            messages.append({"role": ("user", "assistant")[turn % 2], "content": text})
        yield f"random{number}", {"messages": messages,
                                  "add_generation_prompt": messages[-1]["role"] == "user"}


def rendered(tokenizer, request):
    request = dict(request)
    kwargs = request.pop("chat_template_kwargs", {})
    try:
        return tokenizer.apply_chat_template(request.pop("messages"), tokenize=False, **request,
                                             **kwargs)
    except (jinja2.exceptions.TemplateError, ValueError, TypeError):
        return None


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc)


def main():
    folder = sys.argv[1]
    chat_template_utils.datetime = FixedDate
    requests = dict(conversations())
    record = {
        "transformers": transformers.__version__, "jinja2": jinja2.__version__,
        "tokenizers": tokenizers.__version__, "now": NOW, "requests": requests, "models": {},
    }
    texts = ["", " ", "a", "\n\n x", "Hello  world\n", "e\u0301 <|im_start|>x</s>[INST] y",
             "[CLS] Words, WORDS.", "🚀🎉 好", "def f(x):\n    return x\n\n\nf(1)\n"]
    for name, trained_tokenizer, roles in trained():
        path = os.path.join(folder, name)
        os.makedirs(path, exist_ok=True)
        trained_tokenizer.save(os.path.join(path, "tokenizer.json"), pretty=False)
        with open(os.path.join(path, "tokenizer_config.json"), "w", encoding="utf-8") as out:
            json.dump(dict(roles, tokenizer_class="PreTrainedTokenizerFast"), out, indent=1)
            out.write("\n")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(path)
        chats = {}
        ids = {}
        if tokenizer.chat_template:
            for request_name, request in requests.items():
                chats[request_name] = rendered(tokenizer, request)
            ids = {name: tokenizer(text, add_special_tokens=False)["input_ids"]
                   for name, text in chats.items() if text and not name.startswith("random")}
        plain = {text: tokenizer(text)["input_ids"] for text in texts}
        record["models"][name] = {"chats": chats, "chat_ids": ids, "text_ids": plain}
    with open(os.path.join(folder, "recorded.json"), "w", encoding="utf-8") as out:
        json.dump(record, out, ensure_ascii=False, indent=0, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
