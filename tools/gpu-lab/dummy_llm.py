#!/usr/bin/env python3
"""Writes a model folder of a Llama-shaped LLM that has no weights: vLLM draws them at random when started
with --load-format dummy. What it costs in memory and time is real, its text is noise.

usage: dummy_llm.py TOKENIZER.json FOLDER [LAYERS [HIDDEN]]     (default: 32 4096, a 7B: 11.4 GiB in bfloat16)

Real weights of that size are 15 GB to carry, and nothing that is measured here depends on their values:
vLLM's kernels take the same time for any. What does depend on them, when an answer ends, is fixed by
the request's max_tokens.
"""

import json
import os
import shutil
import sys

HEAD = 128           # size of one attention head
VOCABULARY = 51968   # Whisper's, rounded up to a multiple of 128
END = 50257          # its <|endoftext|>


def config(layers, hidden):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": hidden, "intermediate_size": hidden * 43 // 16, "num_hidden_layers": layers,
        "num_attention_heads": hidden // HEAD, "num_key_value_heads": 8, "vocab_size": VOCABULARY,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "dtype": "bfloat16", "bos_token_id": END, "eos_token_id": END, "tie_word_embeddings": False,
    }


TOKENIZER = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
    "chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:",
}


def main():
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    tokenizer, folder = sys.argv[1:3]
    layers = int(sys.argv[3]) if len(sys.argv) > 3 else 32
    hidden = int(sys.argv[4]) if len(sys.argv) > 4 else 4096
    if layers < 1 or hidden < 8 * HEAD or hidden % (8 * HEAD):
        sys.exit(f"dummy_llm.py: at least one layer, and a hidden size that is a multiple of {8 * HEAD}")
    os.makedirs(folder, exist_ok=True)
    shutil.copy(tokenizer, os.path.join(folder, "tokenizer.json"))
    for name, value in (("tokenizer_config.json", TOKENIZER), ("config.json", config(layers, hidden))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)


if __name__ == "__main__":
    main()
