"""PyTorch's side of the rows in tests/op_cases/attention.cpp."""
import torch
import torch.nn.functional as F



def rope(x, base, offset, interleaved):
    """By complex numbers: each pair is one, turned by a unit number."""
    n, width = x.shape[-2:]
    frequency = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.arange(offset, offset + n, dtype=torch.float64)[:, None] * frequency
    pairs = x.unflatten(-1, (-1, 2)) if interleaved else x.unflatten(-1, (2, -1)).transpose(-2, -1)
    turned = torch.view_as_complex(pairs.double().contiguous()) * torch.polar(torch.ones_like(angle), angle)
    pairs = torch.view_as_real(turned)
    return (pairs if interleaved else pairs.transpose(-2, -1)).flatten(-2).to(x.dtype)


attention = F.scaled_dot_product_attention

ROWS = {
    "dropout: evaluation": lambda x: F.dropout(x, 0.4, training=False),
    "dropout: none": lambda x: F.dropout(x, 0.0),
    "dropout: all": lambda x: F.dropout(x, 1.0),
    "dropout2d: evaluation": lambda x: F.dropout2d(x, 0.4, training=False),
    "dropout2d: all": lambda x: F.dropout2d(x, 1.0),
    "scaled_dot_product_attention": attention,
    "scaled_dot_product_attention: heads": attention,
    "scaled_dot_product_attention: causal": lambda q, k, v: attention(q, k, v, is_causal=True),
    "scaled_dot_product_attention: scale": lambda q, k, v: attention(q, k, v, scale=0.3),
    "scaled_dot_product_attention: added mask": attention,
    "scaled_dot_product_attention: bool mask": lambda q, k, v, m: attention(q, k, v, attn_mask=m < 1.0),
    "scaled_dot_product_attention: grouped queries": lambda q, k, v: attention(q, k, v, is_causal=True, enable_gqa=True),
    "scaled_dot_product_attention: grouped queries, mask": lambda q, k, v, m: attention(
        q, k, v, attn_mask=m < 1.0, enable_gqa=True
    ),
    "rope": lambda x: rope(x, 10000, 0, False),
    "rope: interleaved": lambda x: rope(x, 100, 7, True),
}
