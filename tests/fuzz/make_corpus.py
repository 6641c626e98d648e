#!/usr/bin/env python3
"""Writes the small files that the fuzzers start from: valid ones of every kind, and some near misses. Needs cjpeg, on
Debian in libjpeg-turbo-progs."""
import gzip
import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

corpus = Path(__file__).parent / "corpus"


def put(parser, name, content):
    folder = corpus / parser
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def idx(code, shape, elements):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + elements


images = idx(8, (2, 3, 3), bytes(range(18)))
put("idx", "uint8", images)
put("idx", "uint8.gz", gzip.compress(images, mtime=0))
put("idx", "int8", idx(0x09, (2, 2), struct.pack(">4b", 1, -1, 127, -128)))
put("idx", "int16", idx(0x0B, (3,), struct.pack(">3h", 258, -1, -32768)))
put("idx", "padded.gz", gzip.compress(images, mtime=0) + bytes(512))
put("idx", "int32", idx(0x0C, (2,), struct.pack(">2i", -1, 258)))
put("idx", "float32", idx(0x0D, (1, 2), struct.pack(">2f", 0.5, -2)))
put("idx", "float64", idx(0x0E, (1,), struct.pack(">d", 0.1)))
put("idx", "huge", idx(8, (0xFFFFFFFF, 0xFFFFFFFF), b"a"))
put("idx", "many_dimensions", idx(8, (1,) * 9, b"a"))

put("gzip", "plain", b"plain text " * 9)
put("gzip", "member", gzip.compress(b"abc" * 50, mtime=0))
put("gzip", "members", gzip.compress(b"abc", mtime=0) * 3)
put("gzip", "padded", gzip.compress(b"abc", mtime=0) + bytes(100))
put("gzip", "zeros", gzip.compress(bytes(10**6), mtime=0))

put("csv", "plain", b"x,y\n1,2\n3,4.5\n")
put("csv", "quoted", b'\xef\xbb\xbfname,"a ""b"""\r\n"1\n",2\r\n\r\n-1e3,nan')
put("csv", "carriage_returns", b'x,y\r+1.5,1e-400\r\r"1\r",1e39')
put("csv", "one_name_twice", b"x,x\n1,2\n")
put("csv", "ragged", b"a,b\n1\n")

put("cifar10", "record", bytes([3]) + bytes(3072))
put("cifar10", "label", bytes([10]) + bytes(3072))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(columns, rows, bits, colour_type, lines, chunks=b"", interlaced=0):
    header = struct.pack(">2I5B", columns, rows, bits, colour_type, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


palette = chunk(b"PLTE", bytes(range(6))) + chunk(b"tRNS", b"\x80")
put("image", "gray.png", png(4, 2, 2, 0, b"\0\x1b\0\x1b"))
put("image", "rgb.png", png(2, 2, 8, 2, b"\1" + bytes(6) + b"\4" + bytes(6)))
put("image", "palette.png", png(9, 1, 1, 3, b"\0\x55\x80", palette))
put("image", "gray_alpha16.png", png(1, 2, 16, 4, bytes(10)))
put("image", "rgba.png", png(3, 3, 8, 6, bytes(200), interlaced=1))
pixels = b"P6 19 13 255\n" + bytes(i % 251 for i in range(19 * 13 * 3))
for name, options in {"rgb.jpg": [], "progressive.jpg": ["-progressive", "-sample", "2x2"], "gray.jpg": ["-grayscale"],
                      "restarts.jpg": ["-restart", "1B"], "arithmetic.jpg": ["-arithmetic"]}.items():
    put("image", name, subprocess.run(["cjpeg", *options], input=pixels, stdout=subprocess.PIPE, check=True).stdout)

for ending in ("npy", "npz"):
    for file in (Path(__file__).parent.parent / "data" / "npy").glob("*." + ending):
        put(ending, file.name, file.read_bytes())
header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n"
put("npy", "version3", b"\x93NUMPY\3\0" + struct.pack("<I", len(header)) + header + b"abc")

for file in (Path(__file__).parent.parent / "data" / "safetensors").glob("*.safetensors"):
    (corpus / "safetensors").mkdir(parents=True, exist_ok=True)
    shutil.copy(file, corpus / "safetensors")
header = b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[2,3]}}'
put("safetensors", "overlap", struct.pack("<Q", len(header)) + header + bytes(4))


def safetensors(notes, tensors):
    header, data = {"__metadata__": notes}, b""
    for name, (dtype, shape, elements) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(elements)]}
        data += elements
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def whole(*values):
    return "I64", [], struct.pack("<q", *values)


def number(*values):
    return "F64", [], struct.pack("<d", *values)


# What tests/fuzz/checkpoint.cpp loads.
kinds = {"model": "model", "optimizer": "SGD", "scheduler": "StepLR", "batches": "DataLoader", "epoch": "whole number",
         "best": "number", "flag": "bool", "text": "text", "losses": "numbers", "counts": "whole numbers",
         "random": "random numbers"}
notes = {"format": "miniparallel checkpoint", "version": "1"} | {"part." + name: kind for name, kind in kinds.items()}
options = {"lr": 0.1, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": 0}
run = {
    "model.weight": ("F32", [2, 2], bytes(16)), "model.bias": ("F32", [2], bytes(8)),
    **{"optimizer.groups.0." + name: number(value) for name, value in options.items()},
    "optimizer.state.0.step": whole(3), "optimizer.state.0.momentum_buffer": ("F32", [2, 2], bytes(16)),
    "scheduler.count": whole(3), "scheduler.base_lrs": ("F64", [1], struct.pack("<d", 0.1)),
    "batches.seed": whole(1), "batches.epoch": whole(1), "batches.batch": whole(1), "batches.examples": whole(5),
    "batches.batch_size": whole(2),
    "epoch": whole(1), "best": number(0.5), "flag": ("BOOL", [], b"\1"), "text": ("U8", [3], b"abc"),
    "losses": ("F64", [2], bytes(16)), "counts": ("I64", [1], bytes(8)),
    "random.seed": whole(1), "random.ordinal": whole(2),
}
put("checkpoint", "run", safetensors(notes, run))
put("checkpoint", "newer", safetensors(notes | {"version": "2"}, run))
put("checkpoint", "other_optimizer", safetensors(notes | {"part.optimizer": "Adam"}, run))
put("checkpoint", "model_alone", safetensors({key: note for key, note in notes.items() if "." not in key or "model" in key or "random" in key},
                                             {name: tensor for name, tensor in run.items() if "model" in name or "random" in name}))
put("checkpoint", "last_of_all", safetensors(notes, run | {"batches.epoch": whole(2**62), "scheduler.count": whole(2**63 - 1)}))
