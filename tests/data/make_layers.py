#!/usr/bin/env python3
"""Writes layers.safetensors: what PyTorch's layers compute, in float64.

Every case is a layer with random parameters, called on inputs; the loss is the sum of output times cotangent.
Names: {case}.state.{key} before the call, {case}.after.{key} for buffers that it changes, {case}.input.{i},
{case}.output, {case}.cotangent, {case}.grad.{key} of parameters and {case}.input_grad.{i} of floating inputs.
"""
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(0)
goldens = {}


def case(name, layer, *inputs, train=True, call=lambda layer, *x: layer(*x)):
    layer = layer.double().train(train)
    with torch.no_grad():
        for key, tensor in layer.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5 if key.endswith("running_var") else torch.randn_like(tensor))
    state = {key: tensor.clone() for key, tensor in layer.state_dict().items()}
    inputs = [x.double().requires_grad_() if x.is_floating_point() else x for x in inputs]
    output = call(layer, *inputs)
    cotangent = torch.randn_like(output)
    (output * cotangent).sum().backward()

    for key, tensor in state.items():
        goldens[f"{name}.state.{key}"] = tensor
    for key, tensor in layer.named_buffers():
        goldens[f"{name}.after.{key}"] = tensor.clone()
    for key, parameter in layer.named_parameters():
        goldens[f"{name}.grad.{key}"] = parameter.grad
    for i, x in enumerate(inputs):
        goldens[f"{name}.input.{i}"] = x.detach()
        if x.grad is not None:
            goldens[f"{name}.input_grad.{i}"] = x.grad
    goldens[f"{name}.output"] = output.detach()
    goldens[f"{name}.cotangent"] = cotangent


case("linear", nn.Linear(5, 3), torch.randn(2, 4, 5))
case("linear_no_bias", nn.Linear(5, 3, bias=False), torch.randn(4, 5))
case("conv2d", nn.Conv2d(2, 4, 3), torch.randn(2, 2, 6, 7))
case("conv2d_options", nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False),
     torch.randn(2, 4, 7, 6))
case("batch_norm2d", nn.BatchNorm2d(3), torch.randn(4, 3, 2, 5))
case("batch_norm2d_eval", nn.BatchNorm2d(3), torch.randn(4, 3, 2, 5), train=False)
case("batch_norm2d_plain", nn.BatchNorm2d(3, affine=False, track_running_stats=False), torch.randn(4, 3, 2, 5),
     train=False)
case("batch_norm1d", nn.BatchNorm1d(3, eps=1e-3, momentum=0.3), torch.randn(5, 3))
case("batch_norm1d_average", nn.BatchNorm1d(3, momentum=None), torch.randn(5, 3, 4),
     call=lambda layer, x: layer(2 * x) + layer(x))
case("layer_norm", nn.LayerNorm(6), torch.randn(3, 4, 6))
case("layer_norm2d", nn.LayerNorm((4, 6), eps=1e-3, bias=False), torch.randn(3, 4, 6))
case("embedding", nn.Embedding(7, 4), torch.tensor([[0, 6, 2], [2, 2, 5]]))
case("embedding_padding", nn.Embedding(7, 4, padding_idx=-2), torch.tensor([[0, 5, 2], [5, 2, 6]]))

causal = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
case("attention", nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(3, 5, 8),
     call=lambda layer, x: layer(x, x, x)[0])
case("attention_causal", nn.MultiheadAttention(8, 2, batch_first=True, bias=False), torch.randn(3, 5, 8),
     call=lambda layer, x: layer(x, x, x, attn_mask=causal)[0])
keep = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 0], [1, 0, 0, 0]], dtype=torch.bool)
case("attention_mask", nn.MultiheadAttention(8, 4, batch_first=True), torch.randn(2, 3, 8), torch.randn(2, 4, 8),
     torch.randn(2, 4, 8), call=lambda layer, q, k, v: layer(q, k, v, attn_mask=~keep)[0])
goldens["attention_mask.keep"] = keep
case("sequential", nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2),
                                 nn.Flatten(), nn.Linear(12, 4), nn.Tanh()), torch.randn(3, 1, 4, 4))

case("group_norm", nn.GroupNorm(2, 6, eps=1e-3), torch.randn(3, 6, 4))
case("group_norm_plain", nn.GroupNorm(3, 6, affine=False), torch.randn(2, 6, 3, 2))
case("rms_norm", nn.RMSNorm(6), torch.randn(3, 4, 6))
case("rms_norm2d", nn.RMSNorm((4, 6), eps=1e-3), torch.randn(3, 4, 6))
case("rms_norm_plain", nn.RMSNorm(6, elementwise_affine=False), torch.randn(3, 6))
case("instance_norm1d", nn.InstanceNorm1d(3), torch.randn(2, 3, 7))
case("instance_norm2d", nn.InstanceNorm2d(3, eps=1e-3, affine=True), torch.randn(2, 3, 4, 5), train=False)
case("instance_norm3d", nn.InstanceNorm3d(2), torch.randn(2, 2, 3, 2, 3))
case("upsample", nn.Upsample(scale_factor=(2, 3)), torch.randn(2, 3, 2, 4))


def recurrent(layer, x, *state, lengths=None):
    """All results in one vector. With lengths as a packed sequence, which keeps the order of the batch."""
    given = (tuple(state) if isinstance(layer, nn.LSTM) else state[0]) if state else None
    if lengths is None:
        outputs, last = layer(x, given)
    else:
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, layer.batch_first, enforce_sorted=False)
        outputs, last = layer(packed, given)
        outputs, _ = nn.utils.rnn.pad_packed_sequence(outputs, layer.batch_first)
    results = [outputs, *last] if isinstance(layer, nn.LSTM) else [outputs, last]
    return torch.cat([part.flatten() for part in results])


def packed(layer, x):
    return recurrent(layer, x, lengths=torch.tensor([2, 4, 1]))


case("rnn", nn.RNN(3, 5), torch.randn(4, 2, 3), call=recurrent)
case("rnn_relu", nn.RNN(3, 5, nonlinearity="relu", bias=False), torch.randn(4, 2, 3), torch.randn(1, 2, 5), call=recurrent)
case("lstm", nn.LSTM(3, 5), torch.randn(4, 2, 3), call=recurrent)
case("lstm_state", nn.LSTM(3, 5, 2), torch.randn(4, 2, 3), torch.randn(2, 2, 5), torch.randn(2, 2, 5), call=recurrent)
case("lstm_both", nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True), torch.randn(2, 4, 3), call=recurrent)
case("lstm_packed", nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True), torch.randn(3, 4, 3), call=packed)
case("gru", nn.GRU(3, 5), torch.randn(4, 2, 3), call=recurrent)
case("gru_both", nn.GRU(3, 5, 2, bidirectional=True), torch.randn(4, 2, 3), torch.randn(4, 2, 5), call=recurrent)
case("gru_unbatched", nn.GRU(3, 5), torch.randn(4, 3), torch.randn(1, 5), call=recurrent)
case("gru_packed", nn.GRU(3, 5), torch.randn(4, 3, 3), call=packed)
case("lstm_cell", nn.LSTMCell(3, 5), torch.randn(2, 3), torch.randn(2, 5), torch.randn(2, 5),
     call=lambda layer, x, h, c: torch.cat(layer(x, (h, c)), 1))
case("gru_cell", nn.GRUCell(3, 5, bias=False), torch.randn(2, 3), torch.randn(2, 5))
case("rnn_cell", nn.RNNCell(3, 5), torch.randn(2, 3))

for name, layer in {"relu6": nn.ReLU6(), "leaky_relu": nn.LeakyReLU(0.1), "elu": nn.ELU(0.7), "selu": nn.SELU(),
                    "celu": nn.CELU(0.5), "softplus": nn.Softplus(2, 3), "mish": nn.Mish(), "softsign": nn.Softsign(),
                    "logsigmoid": nn.LogSigmoid(), "hardswish": nn.Hardswish(), "hardtanh": nn.Hardtanh(-0.5, 0.7),
                    "glu": nn.GLU(1), "softmin": nn.Softmin(1), "prelu": nn.PReLU(), "prelu_channels": nn.PReLU(4)}.items():
    case(name, layer, 2 * torch.randn(3, 4, 5))
case("conv1d", nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), torch.randn(2, 4, 9))
case("conv1d_same", nn.Conv1d(2, 3, 4, padding="same", bias=False), torch.randn(2, 2, 7))
case("conv2d_same", nn.Conv2d(2, 3, (3, 4), padding="same", dilation=(1, 2)), torch.randn(2, 2, 6, 7))
case("conv2d_valid", nn.Conv2d(2, 3, 3, padding="valid"), torch.randn(2, 2, 6, 7))
case("conv_transpose2d", nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2),
     torch.randn(2, 4, 3, 4))
case("conv_transpose2d_plain", nn.ConvTranspose2d(2, 3, 3, dilation=2, bias=False), torch.randn(2, 2, 4, 5))
case("batch_norm3d", nn.BatchNorm3d(3), torch.randn(2, 3, 2, 3, 4))
case("upsample_bilinear", nn.Upsample(scale_factor=(2, 3), mode="bilinear"), torch.randn(2, 3, 2, 4))
case("upsample_corners", nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True), torch.randn(2, 3, 3, 4))

case("encoder_layer", nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True), torch.randn(3, 5, 8))
case("encoder_layer_norm_first", nn.TransformerEncoderLayer(8, 2, 12, 0.0, "gelu", 1e-3, True, norm_first=True, bias=False),
     torch.randn(3, 5, 8), call=lambda layer, x: layer(x, src_mask=causal))
ignored = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
case("encoder", nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True), 2, nn.LayerNorm(8)),
     torch.randn(3, 5, 8), call=lambda layer, x: layer(x, src_key_padding_mask=ignored))
goldens["encoder.ignored"] = ignored
case("decoder_layer", nn.TransformerDecoderLayer(8, 2, 12, 0.0, "gelu", batch_first=True), torch.randn(3, 5, 8),
     torch.randn(3, 4, 8), call=lambda layer, x, memory: layer(x, memory, tgt_mask=causal))
case("decoder_layer_norm_first", nn.TransformerDecoderLayer(8, 4, 12, 0.0, batch_first=True, norm_first=True),
     torch.randn(3, 5, 8), torch.randn(3, 4, 8))
case("decoder", nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 12, 0.0, batch_first=True), 2), torch.randn(3, 5, 8),
     torch.randn(3, 4, 8), call=lambda layer, x, memory: layer(x, memory, tgt_mask=causal))

case("conv3d", nn.Conv3d(2, 4, (2, 3, 2), stride=(1, 2, 1), padding=(1, 0, 2), groups=2), torch.randn(2, 2, 3, 5, 4))
case("conv3d_same", nn.Conv3d(2, 3, 3, padding="same", bias=False), torch.randn(1, 2, 3, 4, 5))
case("conv_transpose1d", nn.ConvTranspose1d(4, 6, 3, stride=3, padding=1, output_padding=2, groups=2),
     torch.randn(2, 4, 5))
bags = torch.tensor([[0, 6, 2], [2, 2, 5]])
case("embedding_bag", nn.EmbeddingBag(7, 4), bags)
case("embedding_bag_offsets", nn.EmbeddingBag(7, 4, mode="max", padding_idx=-2), bags.flatten().clone(), torch.tensor([0, 2, 2]))
case("local_response_norm", nn.LocalResponseNorm(3, 0.2), torch.randn(2, 4, 3))
case("conv_transpose3d", nn.ConvTranspose3d(4, 6, (2, 3, 2), stride=(2, 1, 3), padding=(1, 0, 1), output_padding=(1, 0, 2),
                                            groups=2), torch.randn(1, 4, 3, 2, 3))

save_file({key: tensor.contiguous() for key, tensor in goldens.items()}, Path(__file__).parent / "layers.safetensors")
