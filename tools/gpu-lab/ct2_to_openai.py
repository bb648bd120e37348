#!/usr/bin/env python3
"""Writes a Whisper model of CTranslate2 (model.bin, float16) as a checkpoint of openai-whisper.

usage: ct2_to_openai.py MODEL.bin OUT.pt

CTranslate2 stacks the matrices of query, key and value (one of three thirds for self-attention, one of two
halves for the key and value of cross-attention) and names layers its own way; everything else is the
same numbers. Keys have no bias in Whisper: the third of the stacked bias that stands there is zero, and
left out.

Invariant: every variable of the input is used, or is a single number (a setting of CTranslate2's) or one
of UNUSED; another one is an error, since the output would then be another model.
"""

import os
import struct
import sys

import numpy

TYPES = {0: numpy.float32, 1: numpy.int8, 2: numpy.int16, 3: numpy.int32, 4: numpy.float16}
HEAD = 64  # size of one attention head, in all sizes of Whisper
# The projection is the embedding once more; the heads that align words are known to openai-whisper.
UNUSED = ("decoder/projection/weight", "decoder/alignment_heads")


class Reader:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        self.at = 0

    def take(self, count):
        if count > len(self.data) - self.at:
            sys.exit(f"ct2_to_openai.py: the model is cut off at byte {self.at}")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def text(self):
        return self.take(self.number("H")).rstrip(b"\0").decode()


def read(path):
    """name -> array; aliases are further names of the same array."""
    reader, found = Reader(path), {}
    reader.number("I")  # version of the container
    reader.text()       # name of the specification
    reader.number("I")  # its revision
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind = reader.number("B")
        found[name] = numpy.frombuffer(reader.take(reader.number("I")), TYPES[kind]).reshape(shape)
    for _ in range(reader.number("I")):
        alias, name = reader.text(), reader.text()
        found[alias] = found[name]
    return found


class Converter:
    def __init__(self, variables):
        self.left = dict(variables)
        self.width = variables["encoder/conv1/weight"].shape[0]
        self.state = {}

    def get(self, name):
        return self.left.pop(name)

    def norm(self, name, source):
        self.state[name + ".weight"] = self.get(source + "/gamma")
        self.state[name + ".bias"] = self.get(source + "/beta")

    def linear(self, name, source):
        self.state[name + ".weight"] = self.get(source + "/weight")
        self.state[name + ".bias"] = self.get(source + "/bias")

    def parts(self, name, source, kinds):
        """The stacked matrices under `source`, one for each of `kinds`."""
        weight, bias = self.get(source + "/weight"), self.get(source + "/bias")
        for i, kind in enumerate(kinds):
            rows = slice(i * self.width, (i + 1) * self.width)
            self.state[f"{name}.{kind}.weight"] = weight[rows]
            if kind != "key":
                self.state[f"{name}.{kind}.bias"] = bias[rows]

    def attention(self, name, source):
        self.norm(name + "_ln", source + "/layer_norm")
        self.parts(name, source + "/linear_0", ("query", "key", "value"))
        self.linear(name + ".out", source + "/linear_1")

    def cross_attention(self, name, source):
        self.norm(name + "_ln", source + "/layer_norm")
        self.linear(name + ".query", source + "/linear_0")
        self.parts(name, source + "/linear_1", ("key", "value"))
        self.linear(name + ".out", source + "/linear_2")

    def blocks(self, side, cross):
        count = 0
        while f"{side}/layer_{count}/ffn/linear_0/weight" in self.left:
            name, source = f"{side}.blocks.{count}", f"{side}/layer_{count}"
            self.attention(name + ".attn", source + "/self_attention")
            if cross:
                self.cross_attention(name + ".cross_attn", source + "/attention")
            self.norm(name + ".mlp_ln", source + "/ffn/layer_norm")
            self.linear(name + ".mlp.0", source + "/ffn/linear_0")
            self.linear(name + ".mlp.2", source + "/ffn/linear_1")
            count += 1
        return count

    def convert(self):
        for name in ("conv1", "conv2"):
            self.linear("encoder." + name, "encoder/" + name)
        for side in ("encoder", "decoder"):
            self.state[side + ".positional_embedding"] = self.get(side + "/position_encodings/encodings")
        self.state["decoder.token_embedding.weight"] = self.get("decoder/embeddings/weight")
        self.norm("encoder.ln_post", "encoder/layer_norm")
        self.norm("decoder.ln", "decoder/layer_norm")
        encoder, decoder = self.blocks("encoder", False), self.blocks("decoder", True)
        odd = [name for name, value in self.left.items() if value.size > 1 and name not in UNUSED]
        if odd:
            sys.exit(f"ct2_to_openai.py: no place for {', '.join(sorted(odd)[:5])}")
        state, width = self.state, self.width
        dims = {
            "n_mels": state["encoder.conv1.weight"].shape[1],
            "n_vocab": state["decoder.token_embedding.weight"].shape[0],
            "n_audio_ctx": 1500, "n_audio_state": width, "n_audio_head": width // HEAD,
            "n_audio_layer": encoder,
            "n_text_ctx": 448, "n_text_state": width, "n_text_head": width // HEAD,
            "n_text_layer": decoder,
        }
        return dims, state


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    dims, state = Converter(read(sys.argv[1])).convert()
    print(f"{sys.argv[1]}: {len(state)} tensors,", ", ".join(f"{k} {v}" for k, v in dims.items()))
    if len(sys.argv) == 3:
        import torch  # not needed to look at a model
        whole = {name: torch.tensor(numpy.array(value)) for name, value in state.items()}
        torch.save({"dims": dims, "model_state_dict": whole}, sys.argv[2] + ".new")
        os.replace(sys.argv[2] + ".new", sys.argv[2])


if __name__ == "__main__":
    main()
