"""PyTorch's side of the rows in tests/op_cases/conv2d.cpp."""
import torch.nn.functional as F


def pad_max_pool(x):
    return F.max_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 0))


def corners(x):
    return F.interpolate(x, size=(10, 1), mode="bilinear", align_corners=True)


ROWS = {
    "conv2d: same": lambda x, w, b: F.conv2d(x, w, b, padding="same", dilation=(1, 2)),
    "conv2d: same, an odd number of zeros": lambda x, w: F.conv2d(x, w, padding="same", groups=2),
    "conv_transpose2d": F.conv_transpose2d,
    "conv_transpose2d: stride, padding, output padding": lambda x, w, b: F.conv_transpose2d(
        x, w, b, stride=(3, 2), padding=(1, 0), output_padding=(2, 1)),
    "conv_transpose2d: groups, dilation": lambda x, w: F.conv_transpose2d(x, w, padding=1, groups=2, dilation=(2, 1)),
    "conv_transpose2d: more padding than the kernel reaches": lambda x, w, b: F.conv_transpose2d(
        x, w, b, stride=2, padding=(1, 2)),
    "conv_transpose2d: no images": F.conv_transpose2d,
    "conv1d": F.conv1d,
    "conv1d: all options": lambda x, w, b: F.conv1d(x, w, b, stride=2, padding=3, dilation=2, groups=2),
    "conv1d: same": lambda x, w: F.conv1d(x, w, padding="same"),
    "conv1d: no sequences": F.conv1d,
    "max_pool1d": lambda x: F.max_pool1d(x, 2),
    "max_pool1d: stride, padding": lambda x: F.max_pool1d(x, 3, stride=2, padding=1),
    "avg_pool1d": lambda x: F.avg_pool1d(x, 2),
    "avg_pool1d: stride, padding": lambda x: F.avg_pool1d(x, 3, stride=2, padding=1),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x, 3),
    "interpolate": lambda x: F.interpolate(x, size=(5, 9)),
    "interpolate: scale factor": lambda x: F.interpolate(x, scale_factor=1.5),
    "interpolate: each pixel several times": lambda x: F.interpolate(x, size=(14, 18)),
    "interpolate: whole scale factor": lambda x: F.interpolate(x, scale_factor=3),
    "interpolate: bilinear": lambda x: F.interpolate(x, size=(11, 4), mode="bilinear"),
    "interpolate: bilinear, scale factor": lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"),
    "interpolate: bilinear, corners": corners,
    "interpolate: no images": lambda x: x.new_zeros((0, 2, 3, 3)) * x.sum(),  # PyTorch refuses it
    "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
    "pixel_shuffle: one image": lambda x: F.pixel_shuffle(x, 3),
    # PyTorch's gradient has the result's shape and is refused.
    "pixel_shuffle: no images": lambda x: (x.new_zeros((2, 0, 1, 6, 4)) * x.sum()).to(x.dtype),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
    "pixel_unshuffle: one image": lambda x: F.pixel_unshuffle(x, 3),
    "upsample": lambda x: F.interpolate(x, scale_factor=(2, 3)),
    "upsample: not at all": lambda x: F.interpolate(x, scale_factor=1),
    "conv2d": F.conv2d,
    "conv2d: no bias": F.conv2d,
    "conv2d: stride, padding": lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=(1, 2)),
    "conv2d: dilation": lambda x, w, b: F.conv2d(x, w, b, padding=1, dilation=(2, 1)),
    "conv2d: groups": lambda x, w, b: F.conv2d(x, w, b, stride=(1, 2), groups=2),
    "conv2d: by channel": lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=4),
    "conv2d: 1 x 1": F.conv2d,
    "conv2d: no images": F.conv2d,
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "max_pool2d: stride, padding": pad_max_pool,
    "max_pool2d: overlapping": lambda x: F.max_pool2d(x, 3, stride=1),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "avg_pool2d: stride, padding": lambda x: F.avg_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 1)),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    "adaptive_avg_pool2d: one": lambda x: F.adaptive_avg_pool2d(x, 1),
    "adaptive_avg_pool2d: wider than the image": lambda x: F.adaptive_avg_pool2d(x, (8, 9)),
}
