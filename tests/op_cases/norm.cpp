#include "tests/op_cases/rows.h"

namespace miniparallel::testing {
namespace {

const Input channel = real({4}, 0.5, 1.5), running = constant({4}, 0.5, 1.5);

}  // namespace

const Rows normalisation{
    {"batch_norm",
     OP(batch_norm(x[0], x[1], x[2], x[3].clone(), x[4].clone(), {.training = true})),
     {image, channel, channel, running, running},
     no_integers},
    {"batch_norm: rows",
     OP(batch_norm(x[0], x[1], x[2], {}, {}, {.training = true, .eps = 1e-3})),
     {real({6, 4}), channel, channel},
     no_integers},
    {"batch_norm: relu",
     OP(batch_norm(x[0], x[1], x[2], {}, {}, {.training = true, .activation = Activation::relu})),
     {image, channel, channel},
     no_integers},
    {"batch_norm: residual",
     OP(batch_norm(x[0], x[1], {}, {}, {}, {.training = true, .residual = x[2]})),
     {image, channel, image},
     no_integers},
    {"batch_norm: residual, relu",
     OP(batch_norm(x[0], x[1], x[2], {}, {},
                   {.training = true, .activation = Activation::relu, .residual = x[3]})),
     {image, channel, channel, image},
     no_integers},
    {"batch_norm: residual, relu, evaluation",
     OP(batch_norm(x[0], x[1], x[2], x[3], x[4], {.activation = Activation::relu, .residual = x[5]})),
     {image, channel, channel, running, running, image},
     no_integers},
    {"batch_norm: plain", OP(batch_norm(x[0], {}, {}, {}, {}, {.training = true})), {image}, no_integers},
    {"batch_norm: evaluation",
     OP(batch_norm(x[0], x[1], x[2], x[3], x[4])),
     {image, channel, channel, running, running},
     no_integers},
    {"batch_norm: running mean",
     [](const std::vector<Tensor>& x) {
       const Tensor mean = x[1].clone(), variance = x[2].clone();
       batch_norm(x[0], {}, {}, mean, variance, {.training = true, .momentum = 0.3});
       return cat({mean, variance});
     },
     {constant({2, 4, 7, 6}), running, running},
     no_gradient | no_integers},
    {"layer_norm", OP(layer_norm(x[0], {5}, x[1], x[2])), {cube, real({5}), real({5})}, no_integers},
    {"add_layer_norm",
     [](const std::vector<Tensor>& x) {
       const AddNorm made = add_layer_norm(x[0], x[1], {5}, x[2], x[3]);
       return made.y + made.sum * 0.5;
     },
     {cube, cube, real({5}), real({5})},
     no_integers},
    {"add_layer_norm: y", OP(add_layer_norm(x[0], x[1], {4, 5}).y), {cube, cube}, no_integers},
    {"add_layer_norm: sum",
     OP(add_layer_norm(x[0], x[1], {5}, x[2]).sum),
     {cube, cube, real({5})},
     no_integers},
    {"layer_norm: plain", OP(layer_norm(x[0], {4, 5})), {cube}, no_integers},
    {"layer_norm: two dimensions",
     OP(layer_norm(x[0], {4, 5}, x[1], x[2], 1e-2)),
     {cube, real({4, 5}), real({4, 5})},
     no_integers},
    {"layer_norm: short rows",
     OP(layer_norm(x[0], {3}, x[1], x[2])),
     {real({70, 3}), real({3}), real({3})},
     no_integers | no_golden},
    {"layer_norm: large",
     OP(layer_norm(x[0], {513}, x[1], x[2])),
     {real({211, 513}), real({513}), real({513})},
     no_golden},
    {"group_norm", OP(group_norm(x[0], 2, x[1], x[2])), {image, channel, channel}, no_integers},
    {"group_norm: plain rows", OP(group_norm(x[0], 2, {}, {}, 1e-2)), {real({3, 6})}, no_integers},
    {"instance_norm", OP(instance_norm(x[0])), {image}, no_integers},
    {"instance_norm: weight, bias",
     OP(instance_norm(x[0], x[1], x[2], 1e-2)),
     {real({2, 4, 5}), channel, channel},
     no_integers},
    {"rms_norm", OP(rms_norm(x[0], {5}, x[1])), {cube, real({5})}, no_integers},
    {"rms_norm: plain over two dimensions", OP(rms_norm(x[0], {4, 5}, {}, 1e-2)), {cube}, no_integers},
};

}  // namespace miniparallel::testing
