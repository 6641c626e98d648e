#!/usr/bin/env python3
"""TensorBoard reads what `mnist --log-dir` writes: read_log.py PATH_OF_MNIST

Trains on a tiny data set, reads the log with TensorBoard's own reader and compares it with the program's JSON and with
the weights that it saved. Needs the packages tensorboard (and with it numpy and pillow).
"""
import io, json, struct, subprocess, sys, tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def write_images(folder, name, count, rng):
    labels = np.arange(count, dtype=np.uint8) % 10
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + images.tobytes())
    (folder / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
    return images


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[8 + size:][slice(*entry["data_offsets"])], np.float32)
            for name, entry in header.items()}


def check_histogram(events, values):
    histogram = events[-1].histogram_value
    values = values.astype(np.float64)
    assert histogram.num == values.size and sum(histogram.bucket) == values.size
    for got, wanted in ((histogram.min, values.min()), (histogram.max, values.max()), (histogram.sum, values.sum()),
                        (histogram.sum_squares, (values ** 2).sum())):
        assert np.isclose(got, wanted, rtol=1e-9, atol=1e-9), (got, wanted)
    limits = np.array(histogram.bucket_limit)
    counts = np.bincount(np.searchsorted(limits, values), minlength=len(limits))
    assert (counts == histogram.bucket).all()


def main(mnist):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(1)
        write_images(folder, "train", 64, rng)
        test_images = write_images(folder, "t10k", 20, rng)
        output = subprocess.run([mnist, "--data", folder, "--model", "mlp", "--epochs", "3", "--batch-size", "16", "--json",
                                 "--save", folder / "weights", "--log-dir", folder / "log"],
                                check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        epochs = json.loads(output)["epochs"]

        log = EventAccumulator(str(folder / "log"), {"scalars": 0, "images": 0, "histograms": 0})
        log.Reload()
        tags = log.Tags()
        for part in ("train", "test"):
            for score in ("loss", "accuracy"):
                events = log.Scalars(f"{score}/{part}")
                assert [event.step for event in events] == [4, 8, 12]
                for event, epoch in zip(events, epochs, strict=True):
                    assert event.value == np.float32(epoch[part][score])
        assert [event.step for event in log.Scalars("batch/loss")] == list(range(1, 13))
        rates = [event.value for event in log.Scalars("batch/learning rate")]
        assert rates == sorted(rates, reverse=True) and abs(rates[-1]) < 1e-9

        weights = read_safetensors(folder / "weights")
        assert sorted(tags["histograms"]) == sorted(weights)
        for layer, values in weights.items():
            check_histogram(log.Histograms(layer), values)

        assert tags["images"] == ["worst mistakes"]
        image = log.Images("worst mistakes")[-1]
        pixels = np.array(Image.open(io.BytesIO(image.encoded_image_string)))
        assert pixels.shape == (image.height, image.width)
        assert any((pixels[2:30, 2:30] == picture).all() for picture in test_images)
        print(f"TensorBoard read {len(tags['scalars'])} scalars, {len(weights)} histograms and an image")


main(sys.argv[1])
