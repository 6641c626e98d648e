#!/usr/bin/env python3
"""Python's safetensors reads a checkpoint: read_checkpoint.py PATH_OF_SAVE_REPEATEDLY

Needs the packages safetensors and numpy.
"""
import subprocess, sys, tempfile, time
from pathlib import Path

import numpy as np
from safetensors import safe_open

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "run.safetensors"
    writer = subprocess.Popen([sys.argv[1], file])
    while not file.exists():
        assert writer.poll() is None, "save_repeatedly has ended"
        time.sleep(0.01)
    writer.kill()
    writer.wait()

    with safe_open(file, "numpy") as checkpoint:
        notes = checkpoint.metadata()
        assert notes == {"format": "miniparallel checkpoint", "version": "1", "part.model": "model",
                         "part.number": "whole number", "part.random": "random numbers"}, notes
        assert set(checkpoint.keys()) == {"model.weight", "model.bias", "number", "random.seed", "random.ordinal"}
        number = checkpoint.get_tensor("number")
        assert number.dtype == np.int64 and number.shape == () and number >= 1
        weight = checkpoint.get_tensor("model.weight")
        assert weight.dtype == np.float32 and weight.shape == (500, 1000) and (weight == number).all()
print("a checkpoint of", len(notes) - 2, "parts was read")
