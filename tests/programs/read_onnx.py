#!/usr/bin/env python3
"""onnxruntime computes what the models of write_onnx do, also for other batches: read_onnx.py PATH_OF_WRITE_ONNX

Needs the packages onnx, onnxruntime, numpy and safetensors.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], folder], check=True)
    files = sorted(Path(folder).glob("*.onnx"))
    assert len(files) == 5, files
    for file in files:
        onnx.checker.check_model(onnx.load(file), full_check=True)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        tensors = load_file(file.with_suffix(".safetensors"))
        expected = tensors.pop("output")
        got, = session.run(None, tensors)
        error = np.abs(got - expected).max() / max(1, np.abs(expected).max())
        assert got.shape == expected.shape and error < 1e-5, (file.name, error)
        # The first size is free: one row, and all of them twice.
        for rows in (slice(0, 1), [*range(len(expected))] * 2):
            part, = session.run(None, {name: value[rows] for name, value in tensors.items()})
            assert np.allclose(part, expected[rows], atol=1e-5 * max(1, np.abs(expected).max())), file.name
        print(f"{file.stem}: largest relative error {error:.1e}")
