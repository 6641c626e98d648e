#!/usr/bin/env python3
"""Writes the .npy and .npz files of npy/ with NumPy, and reads one of ours: make_npy.py [FILE.npz].

With a file it checks that NumPy reads what tests/engine/io/npy.cpp describes as `ours`.
"""
import sys
from pathlib import Path

import numpy as np

folder = Path(__file__).parent / "npy"
folder.mkdir(exist_ok=True)
grid = np.arange(6).reshape(2, 3)

if len(sys.argv) > 1:
    ours = np.load(sys.argv[1])
    for name in ("float16", "float32", "float64", "int32", "int64", "uint8", "bool"):
        assert ours[name].dtype == name and (ours[name] == (grid - 1).astype(name)).all(), name
    assert ours["scalar"].shape == () and ours["scalar"] == 2.5 and ours["none"].shape == (0, 4)
    sys.exit()

arrays = {name: (grid - 1).astype(name) for name in ("float16", "float32", "float64", "int64", "int32", "int16", "int8",
                                                     "bool")}
arrays |= {name: (grid + 1).astype(name) for name in ("uint8", "uint16", "uint32")}
arrays |= {"scalar": np.float64(2.5), "none": np.zeros((0, 4), np.float32), "folder/name": np.float32([1.5])}
np.savez(folder / "arrays.npz", **arrays)
np.savez_compressed(folder / "compressed.npz", zeros=np.zeros((40, 50), np.float32), grid=grid)
np.save(folder / "fortran.npy", np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)))
np.save(folder / "big_endian.npy", grid.astype(">f4"))
np.save(folder / "objects.npy", np.array([None, "text"], dtype=object))
np.save(folder / "structs.npy", np.zeros(2, dtype=[("x", "<f4"), ("y", "<i4")]))
np.save(folder / "complex.npy", grid.astype(np.complex64))
