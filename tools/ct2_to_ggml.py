#!/usr/bin/env python3
"""Writes a Whisper model of CTranslate2 (model.bin, float16) as a model file of whisper.cpp (ggml).

usage: ct2_to_ggml.py MODEL.bin HEADER.bin OUT.bin

A ggml file is a header (hyperparameters, mel filters, vocabulary) followed by tensors. whisper.cpp ships a
file with the header alone for each size of model, for its own tests (for-tests-ggml-base.bin and so on):
HEADER.bin is that file, and only the tensors are made here. Writing the header ourselves as well would need
the mel filters and the byte-level vocabulary, which CTranslate2's folder does not hold in that form.

The weights are copied bit for bit: both sides hold matrices row by row in float16. Only vectors and
position tables are widened to float32, as whisper.cpp wants them. So nothing is lost, and the standard
library is enough.

Invariant: OUT.bin appears only when it is whole, and only if header and model agree about every size.
"""

import math
import os
import struct
import sys

CT2_FLOAT32, CT2_FLOAT16 = 0, 4
CT2_ITEM_BYTES = {0: 4, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2}
GGML_MAGIC = 0x67676D6C
GGML_FLOAT32, GGML_FLOAT16 = 0, 1
HEADER_FIELDS = (
    "vocab", "audio_ctx", "audio_state", "audio_head", "audio_layer",
    "text_ctx", "text_state", "text_head", "text_layer", "mels", "float_type",
)


class BadInput(Exception):
    """An input file is not what it should be; the text says which one and where."""


class Reader:
    """Takes numbers and bytes off a file's start, and never reads past its end."""

    def __init__(self, path):
        self.path = path
        self.at = 0
        with open(path, "rb") as file:
            self.data = memoryview(file.read())

    def bytes(self, count):
        if count < 0 or count > len(self.data) - self.at:
            raise BadInput(f"{self.path}: cut off at byte {self.at} ({count} more are announced)")
        self.at += count
        return self.data[self.at - count : self.at]

    def numbers(self, form):
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))

    def number(self, form):
        return self.numbers(form)[0]

    def text(self):
        """CTranslate2's string: 16-bit length, which counts the NUL at the end."""
        raw = bytes(self.bytes(self.number("H")))
        if not raw.endswith(b"\0"):
            raise BadInput(f"{self.path}: no text where one is due, before byte {self.at}")
        return raw[:-1].decode("utf-8", "replace")

    def expect_end(self):
        if self.at != len(self.data):
            raise BadInput(f"{self.path}: {len(self.data) - self.at} bytes too many at byte {self.at}")


class Tensor:
    """A float16 or float32 array, row by row, as raw bytes."""

    def __init__(self, shape, item_bytes, raw):
        self.shape = shape
        self.item_bytes = item_bytes
        self.raw = raw

    def split(self, parts):
        """Equal parts along the first axis: CTranslate2 stacks query, key and value."""
        if self.shape[0] % parts != 0:
            raise BadInput(f"a tensor of shape {self.shape} does not divide by {parts}")
        shape = (self.shape[0] // parts,) + self.shape[1:]
        size = len(self.raw) // parts
        return [Tensor(shape, self.item_bytes, self.raw[i * size : (i + 1) * size]) for i in range(parts)]

    def encoded(self, ggml_type):
        """The bytes in the type asked for."""
        wanted = 2 if ggml_type == GGML_FLOAT16 else 4
        if self.item_bytes == wanted:
            return self.raw
        count = math.prod(self.shape)
        codes = {2: "e", 4: "f"}
        values = struct.unpack(f"<{count}{codes[self.item_bytes]}", self.raw)
        return struct.pack(f"<{count}{codes[wanted]}", *values)


def read_ct2(path):
    """Reads CTranslate2's model.bin (binary version 6): name -> Tensor, aliases included."""
    file = Reader(path)
    version = file.number("I")
    if version != 6:
        raise BadInput(f"{path}: CTranslate2 binary version {version}, only 6 is known")
    spec = file.text()
    if spec != "WhisperSpec":
        raise BadInput(f"{path}: holds a {spec!r}, not a WhisperSpec")
    file.number("I")  # the spec's revision: says which optional tensors there are
    tensors = {}
    for _ in range(file.number("I")):
        name = file.text()
        rank = file.number("B")
        shape = file.numbers(f"{rank}I")
        kind = file.number("B")
        size = file.number("I")
        raw = file.bytes(size)
        if size != math.prod(shape) * CT2_ITEM_BYTES.get(kind, -1):
            raise BadInput(f"{path}: {name}: {size} bytes do not fit type {kind}, shape {shape}")
        if kind in (CT2_FLOAT32, CT2_FLOAT16) and rank > 0:
            tensors[name] = Tensor(shape, CT2_ITEM_BYTES[kind], raw)
    for _ in range(file.number("I")):
        alias = file.text()
        name = file.text()
        if name in tensors:
            tensors[alias] = tensors[name]
    file.expect_end()
    return tensors


def read_header(path):
    """Reads a ggml file that has no tensors; returns its sizes and its bytes."""
    file = Reader(path)
    if file.number("I") != GGML_MAGIC:
        raise BadInput(f"{path}: not a ggml file")
    sizes = dict(zip(HEADER_FIELDS, file.numbers(f"{len(HEADER_FIELDS)}i")))
    if sizes["float_type"] != 1:
        raise BadInput(f"{path}: announces tensor type {sizes['float_type']}, not float16")
    mels, columns = file.numbers("ii")
    file.bytes(mels * columns * 4)
    for _ in range(file.number("i")):
        file.bytes(file.number("I"))
    file.expect_end()
    return sizes, file.data


class Writer:
    """Turns CTranslate2's names into whisper.cpp's and appends the tensors."""

    def __init__(self, out, tensors):
        self.out = out
        self.tensors = tensors
        self.count = 0

    def take(self, name):
        if name not in self.tensors:
            raise BadInput(f"the model has no float tensor {name}: not float16 or float32, or no Whisper")
        return self.tensors[name]

    def put(self, name, tensor, ggml_type, shape=None):
        shape = tensor.shape if shape is None else shape
        label = name.encode()
        self.out.write(struct.pack("<iii", len(shape), len(label), ggml_type))
        self.out.write(struct.pack(f"<{len(shape)}i", *reversed(shape)))
        self.out.write(label)
        self.out.write(tensor.encoded(ggml_type))
        self.count += 1

    def matrix(self, name, tensor):
        self.put(name, tensor, GGML_FLOAT16)

    def vector(self, name, tensor):
        self.put(name, tensor, GGML_FLOAT32)

    def linear(self, name, source):
        self.matrix(f"{name}.weight", self.take(f"{source}/weight"))
        self.vector(f"{name}.bias", self.take(f"{source}/bias"))

    def norm(self, name, source):
        self.vector(f"{name}.weight", self.take(f"{source}/gamma"))
        self.vector(f"{name}.bias", self.take(f"{source}/beta"))

    def convolution(self, name, source):
        self.matrix(f"{name}.weight", self.take(f"{source}/weight"))
        bias = self.take(f"{source}/bias")
        self.put(f"{name}.bias", bias, GGML_FLOAT32, bias.shape + (1,))

    def projections(self, name, source, parts):
        """Parts stacked in one tensor. Whisper's key has no bias: CTranslate2 stores zeros, ggml nothing."""
        weights = self.take(f"{source}/weight").split(len(parts))
        biases = self.take(f"{source}/bias").split(len(parts))
        for part, weight, bias in zip(parts, weights, biases):
            self.matrix(f"{name}.{part}.weight", weight)
            if part != "key":
                self.vector(f"{name}.{part}.bias", bias)

    def block(self, name, source, is_decoder):
        self.norm(f"{name}.attn_ln", f"{source}/self_attention/layer_norm")
        own = f"{source}/self_attention"
        self.projections(f"{name}.attn", f"{own}/linear_0", ("query", "key", "value"))
        self.linear(f"{name}.attn.out", f"{own}/linear_1")
        if is_decoder:
            cross = f"{source}/attention"
            self.norm(f"{name}.cross_attn_ln", f"{cross}/layer_norm")
            self.linear(f"{name}.cross_attn.query", f"{cross}/linear_0")
            self.projections(f"{name}.cross_attn", f"{cross}/linear_1", ("key", "value"))
            self.linear(f"{name}.cross_attn.out", f"{cross}/linear_2")
        self.norm(f"{name}.mlp_ln", f"{source}/ffn/layer_norm")
        self.linear(f"{name}.mlp.0", f"{source}/ffn/linear_0")
        self.linear(f"{name}.mlp.2", f"{source}/ffn/linear_1")

    def model(self, encoder_layers, decoder_layers):
        positions = "position_encodings/encodings"
        self.vector("encoder.positional_embedding", self.take(f"encoder/{positions}"))
        self.convolution("encoder.conv1", "encoder/conv1")
        self.convolution("encoder.conv2", "encoder/conv2")
        self.norm("encoder.ln_post", "encoder/layer_norm")
        self.vector("decoder.positional_embedding", self.take(f"decoder/{positions}"))
        self.matrix("decoder.token_embedding.weight", self.take("decoder/embeddings/weight"))
        self.norm("decoder.ln", "decoder/layer_norm")
        for i in range(encoder_layers):
            self.block(f"encoder.blocks.{i}", f"encoder/layer_{i}", False)
        for i in range(decoder_layers):
            self.block(f"decoder.blocks.{i}", f"decoder/layer_{i}", True)


def check_agreement(tensors, sizes):
    """The header of another size of Whisper would give a file that loads and speaks nonsense."""

    def layers(side):
        prefix = f"{side}/layer_"
        numbers = [name[len(prefix) :].split("/")[0] for name in tensors if name.startswith(prefix)]
        return 1 + max((int(n) for n in numbers if n.isdigit()), default=-1)

    def shape(name):
        return tensors[name].shape if name in tensors else None

    wanted = (
        ("encoder layers", layers("encoder"), sizes["audio_layer"]),
        ("decoder layers", layers("decoder"), sizes["text_layer"]),
        ("vocabulary", shape("decoder/embeddings/weight"), (sizes["vocab"], sizes["text_state"])),
        ("audio context", shape("encoder/position_encodings/encodings"),
         (sizes["audio_ctx"], sizes["audio_state"])),
        ("text context", shape("decoder/position_encodings/encodings"),
         (sizes["text_ctx"], sizes["text_state"])),
        ("mel bands", shape("encoder/conv1/weight"), (sizes["audio_state"], sizes["mels"], 3)),
    )
    for what, model, header in wanted:
        if model != header:
            raise BadInput(f"model and header disagree about the {what}: {model}, {header}")


def convert(model_path, header_path, out_path):
    """Makes out_path; returns how many tensors it holds."""
    tensors = read_ct2(model_path)
    sizes, header = read_header(header_path)
    check_agreement(tensors, sizes)
    part_path = out_path + ".part"
    try:
        with open(part_path, "wb") as out:
            out.write(header)
            writer = Writer(out, tensors)
            writer.model(sizes["audio_layer"], sizes["text_layer"])
        os.replace(part_path, out_path)
    finally:
        if os.path.exists(part_path):
            os.unlink(part_path)
    return writer.count


def main(arguments):
    if len(arguments) != 3:
        print("usage: ct2_to_ggml.py MODEL.bin HEADER.bin OUT.bin", file=sys.stderr)
        return 2
    try:
        count = convert(*arguments)
    except (BadInput, OSError) as error:
        print(f"ct2_to_ggml: {error}", file=sys.stderr)
        return 1
    print(f"{arguments[2]}: {count} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
