"""PyTorch's side of the rows in tests/op_cases/conv2d.cpp."""
import torch.nn.functional as F


def pad_max_pool(x):
    return F.max_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 0))


ROWS = {
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
