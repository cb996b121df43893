# SPDX-License-Identifier: Apache-2.0
"""Makes a model for vLLM: two layers of random weights, and a tokenizer trained here.

    .vllm/bin/python test/e2e/vllm_model.py FOLDER

Nothing is downloaded: the tokenizer is trained on this project's documents, the chat template is
that of test/text/models/qwen (tools, thoughts), the weights are those of a fixed seed.
"""
import glob
import os
import shutil
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEMPLATE = f"{ROOT}/test/text/models/qwen/chat_template.jinja"
CONTEXT = 4096  # Tokens.
VOCABULARY = 2048
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL,
                                  initial_alphabet=alphabet, show_progress=False)  # fmt: skip
    tokenizer.train(sorted(glob.glob(f"{ROOT}/docs/*.md")), trainer)
    return tokenizer


def main(folder):
    tokenizer = train()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=SPECIAL[2], pad_token=SPECIAL[0],
        model_max_length=CONTEXT,
    ).save_pretrained(folder)  # fmt: skip
    shutil.copy(TEMPLATE, folder)
    torch.manual_seed(0)
    # Weights this wide make an answer follow from its prompt: no two tokens are nearly as likely.
    shape = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, initializer_range=0.15,
        max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=2, pad_token_id=0, dtype=torch.bfloat16,
    )  # fmt: skip
    LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
