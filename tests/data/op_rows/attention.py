"""PyTorch's side of the rows in tests/op_cases/attention.cpp."""
import torch.nn.functional as F

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
}
