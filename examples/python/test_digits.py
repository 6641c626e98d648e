"""What a module made by bindings.h promises. Run by pytest or as a program."""

import gc
import sys
import threading

import digits
import numpy as np


def images(rows, seed=0):
    return np.random.default_rng(seed).random((rows, 1, 28, 28), dtype=np.float32)


def refused(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), error
        return
    raise AssertionError(f"no {kind.__name__}")


def test_elements_are_shared_both_ways():
    array = np.zeros((2, 3), np.float32)
    tensor = digits.from_dlpack(array)
    array[1, 2] = 5
    assert tensor.numpy()[1, 2] == 5
    view = np.from_dlpack(tensor)
    view[0, 0] = 7
    assert array[0, 0] == 7
    assert (tensor.shape, tensor.dtype, tensor.device) == ((2, 3), "float32", "cpu")
    assert digits.from_dlpack(tensor).numpy()[0, 0] == 7
    copy = np.from_dlpack(tensor, copy=True)
    copy[0, 0] = 1
    assert array[0, 0] == 7


def test_elements_live_as_long_as_anybody_uses_them():
    tensor = digits.from_dlpack(np.arange(1000.0))
    gc.collect()
    view = np.from_dlpack(tensor)
    del tensor
    gc.collect()
    assert view.sum() == 499500


def test_dtypes_and_strides():
    for dtype in ("float16", "float32", "float64", "int64", "int32", "uint8", "bool"):
        array = (np.arange(24) % 2).astype(dtype).reshape(4, 6)[:, ::2].T
        back = digits.from_dlpack(array).numpy()
        assert back.dtype == array.dtype and (back == array).all(), dtype
    assert digits.from_dlpack(np.ones(3)).to("float32").numpy().dtype == np.float32


def test_capsules_without_a_version():
    class Old:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, stream=None):
            return self.array.__dlpack__()

    array = np.arange(3.0)
    tensor = digits.from_dlpack(Old(array))
    array[0] = 9
    assert tensor.numpy()[0] == 9
    tensor.__dlpack__()  # a capsule that nobody takes
    del tensor
    gc.collect()


def test_a_call_is_the_model():
    digits.manual_seed(1)
    model = digits.Digits()
    model.eval()
    x = images(5)
    y = model(x)
    assert y.shape == (5, 10) and y.requires_grad
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    windows = np.lib.stride_tricks.sliding_window_view(x[:, 0], (5, 5), axis=(1, 2))[:, ::2, ::2]
    h = np.einsum("nhwij,cij->nchw", windows, state["conv.weight"][:, 0]) + state["conv.bias"][:, None, None]
    h = (h - state["norm.running_mean"][:, None, None]) / np.sqrt(state["norm.running_var"][:, None, None] + 1e-5)
    h = np.maximum(h * state["norm.weight"][:, None, None] + state["norm.bias"][:, None, None], 0)
    expected = h.reshape(5, -1) @ state["output.weight"].T + state["output.bias"]
    assert np.allclose(y.numpy(), expected, atol=1e-4)


def test_gradients():
    model = digits.Digits()
    loss = model(images(4))
    refused(digits.Error, "backward", loss.backward)  # not one number
    assert all(p.grad is None for p in model.parameters())
    number = digits.from_dlpack(np.ones(1))
    number.requires_grad = True
    number.backward()
    assert number.grad.numpy() == [1]


def test_training():
    digits.manual_seed(2)
    model = digits.Digits()
    trainer = digits.Trainer(model, lr=1e-2)
    x = images(64)
    labels = np.arange(64) % 10
    losses = [trainer.step(x, labels) for _ in range(30)]
    assert losses[-1] < losses[0] / 10, losses
    assert all(p.grad.shape == p.shape for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_state_and_files(tmp_path):
    model, other = digits.Digits(), digits.Digits()
    path = str(tmp_path / "digits.safetensors")
    model.save(path)
    other.load(path)
    x = images(3)
    assert (model(x).numpy() == other(x).numpy()).all()
    arrays = {name: np.array(tensor.numpy()) for name, tensor in model.state_dict().items()}
    arrays["output.bias"][:] = 3
    assert other.load_state_dict(arrays) == ([], [])
    assert (dict(other.named_parameters())["output.bias"].numpy() == 3).all()
    del arrays["output.bias"]
    refused(digits.Error, "output.bias", lambda: other.load_state_dict(arrays))
    assert other.load_state_dict(arrays, strict=False) == (["output.bias"], [])


def test_what_is_refused():
    model = digits.Digits()
    refused(TypeError, "expected a tensor, or an array with __dlpack__", lambda: model([1, 2]))
    refused(digits.Error, "conv2d", lambda: model(np.zeros((2, 3), np.float32)))
    refused(digits.Error, "from_dlpack: got a dtype", lambda: digits.from_dlpack(np.zeros(2, np.complex64)))
    refused(digits.Error, "expected 'cpu'", lambda: model.to("gpu"))
    refused(RuntimeError, "No such file", lambda: model.load("/nowhere/digits.safetensors"))


def test_other_threads_run_meanwhile():
    model = digits.Digits()
    x = images(2000)
    at_once, ticks, stop = 0, [0], threading.Event()

    def tick():
        while not stop.is_set():
            ticks[0] += 1

    thread = threading.Thread(target=tick)
    thread.start()
    before = ticks[0]
    for _ in range(5):
        model(x)
    at_once = ticks[0] - before
    stop.set()
    thread.join()
    assert at_once > 100


if __name__ == "__main__":
    import pathlib
    import tempfile

    for name, test in list(globals().items()):
        if name.startswith("test_"):
            if test.__code__.co_argcount:
                with tempfile.TemporaryDirectory() as folder:
                    test(pathlib.Path(folder))
            else:
                test()
            print(name, "passed")
    sys.exit(0)
