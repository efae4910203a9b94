#!/usr/bin/env python3
"""Writes the golden values of this folder. PyTorch makes the numbers, so that they are independent of this project.

The tests read the committed .safetensors files and never run this script. To make the files again:

    pip install torch torchvision safetensors numpy lightly timm scikit-learn
    python3 kernels-tests/golden/make_golden.py [FOLDER]

Everything is f32 on the CPU with one thread and fixed seeds, so two runs with one PyTorch give the same bytes.
README.md beside this file lists the keys.
"""

import copy
import pathlib
import sys

import bigbigan
import elementwise
import half
import images
import learners
import losses
import misc
import norms
import not_numbers
import shape
import ssl_methods
import ssl_vit
import steps
import torch
import torch.nn.functional as F
import views
import vit
from safetensors.torch import save_file
from torch import nn


# One thread and deterministic algorithms fix the order of every sum.
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


# ---------------------------------------------------------------- ResNet-18


class BasicBlock(nn.Module):
    """torchvision.models.resnet.BasicBlock: conv1, bn1, relu, conv2, bn2, add the (downsampled) input, relu.

    The stride is in conv1. downsample is (0) a 1x1 convolution with that stride and (1) a batch norm. Attributes are
    declared in torchvision's order, so named_parameters() gives torchvision's names in its order.
    """

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + skip)


class Bottleneck(nn.Module):
    """torchvision.models.resnet.Bottleneck: the stride is in the 3x3 convolution."""

    def __init__(self, cin, width, stride):
        super().__init__()
        cout = 4 * width
        self.conv1 = nn.Conv2d(cin, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, cout, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + skip)


class ResNet18(nn.Module):
    """torchvision.models.resnet18 with `base` channels instead of 64 and a choice of stem. With bottlenecks it is
    resnet50."""

    BLOCKS, EXPANSION = [2, 2, 2, 2], 1

    def __init__(self, base, channels, classes, stem):
        super().__init__()
        self.stem = stem
        if stem == "7x7":
            self.conv1 = nn.Conv2d(channels, base, 7, 2, 3, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, base, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        cin = base
        for i, count in enumerate(self.BLOCKS):
            width, blocks = base << i, []
            for block in range(count):
                blocks.append(self.block(cin, width, 2 if i > 0 and block == 0 else 1))
                cin = width * self.EXPANSION
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(cin, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.stem == "7x7":
            x = F.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))  # the average over the whole map, as AdaptiveAvgPool2d(1)

    def block(self, cin, width, stride):
        return BasicBlock(cin, width, stride)


class ResNet50(ResNet18):
    BLOCKS, EXPANSION = [3, 4, 6, 3], 4

    def block(self, cin, width, stride):
        return Bottleneck(cin, width, stride)


def stir_batch_norms(model):
    """Makes scales, shifts and running statistics differ from 1 and 0, so that a test sees one that is swapped or
    forgotten."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def run_resnet(model, x, labels):
    """Runs forward and backward in training mode once, then forward in evaluation mode with the new running
    statistics."""
    out = {"input": x, "labels": labels}
    out |= {f"param/{k}": v.detach().clone() for k, v in model.state_dict().items() if "num_batches" not in k}
    model.train()
    logits = model(x)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    out["train/logits"], out["train/loss"] = logits, loss
    out |= {f"grad/{k}": p.grad for k, p in model.named_parameters()}
    out |= {f"after/{k}": v.clone() for k, v in model.named_buffers() if "running" in k}
    model.eval()
    with torch.no_grad():
        out["eval/logits"] = model(x)
    return out


def resnet(seed, base, channels, classes, stem, batch, height, width, network=ResNet18):
    """Computes the values in f32. Prints their distance from the same computation in f64, as a guide to a tolerance."""
    torch.manual_seed(seed)
    model = network(base, channels, classes, stem)
    stir_batch_norms(model)
    x = torch.randn(batch, channels, height, width)
    labels = torch.randint(0, classes, (batch,))
    exact = run_resnet(copy.deepcopy(model).double(), x.double(), labels)
    out = run_resnet(model, x, labels)
    worst = {}
    for key, value in out.items():
        group = key if key.endswith(("logits", "loss")) else key.split("/")[0]
        error = (value - exact[key]).abs().max() / exact[key].abs().max().clamp(min=1e-30)
        worst[group] = max(worst.get(group, 0.0), error.item())
    print("  f32 against f64, max |difference| / max |value| per tensor, worst:")
    print("   ", ", ".join(f"{k} {v:.1e}" for k, v in worst.items() if v > 0))
    return out


# ---------------------------------------------------------------- ops


def grads(out, prefix, y, inputs, cotangent=None):
    """Stores y, a random cotangent (unless y is a scalar loss) and the gradient of every input."""
    if y.dim() > 0 and cotangent is None:
        cotangent = torch.randn_like(y)
        out[f"{prefix}/grad_y"] = cotangent
    found = torch.autograd.grad(y, list(inputs.values()), cotangent)
    out[f"{prefix}/{'loss' if y.dim() == 0 else 'y'}"] = y
    for (name, value), grad in zip(inputs.items(), found):
        out[f"{prefix}/{name}"] = value
        out[f"{prefix}/grad_{name}"] = grad


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def conv2d(out):
    # (case, n, cin, h, w, cout, kh, kw, stride, padding): images are not square, and sizes do not divide a tile
    for case, n, ci, h, w, co, kh, kw, s, p in [
        ("k3s1p1", 2, 5, 9, 7, 6, 3, 3, 1, 1),
        ("k3s2p1", 2, 4, 11, 8, 7, 3, 3, 2, 1),
        ("k7s2p3", 2, 3, 13, 17, 5, 7, 7, 2, 3),
        ("k1s2p0", 3, 6, 7, 10, 9, 1, 1, 2, 0),
        ("k5s3p2", 1, 2, 16, 11, 3, 5, 5, 3, 2),
        ("k3x1s2p1", 2, 3, 8, 9, 4, 3, 1, 2, 1),
    ]:
        x, weight = leaf(n, ci, h, w), leaf(co, ci, kh, kw)
        grads(out, f"conv2d/{case}", F.conv2d(x, weight, stride=s, padding=p), {"x": x, "weight": weight})


def batch_norm(out):
    # h1w1 is the batch norm of a projection head's vectors
    for n, c, h, w in [(4, 3, 5, 5), (3, 5, 7, 2), (8, 6, 1, 1)]:
        x = (torch.randn(n, c, h, w) * 1.5 + 0.7).requires_grad_()
        weight, bias = torch.empty(c).uniform_(0.5, 1.5).requires_grad_(), leaf(c)
        mean, var = torch.randn(c), torch.empty(c).uniform_(0.5, 1.5)
        for mode in ("train", "eval"):
            prefix = f"batch_norm/n{n}c{c}h{h}w{w}_{mode}"
            out[f"{prefix}/running_mean"], out[f"{prefix}/running_var"] = mean, var
            m, v = mean.clone(), var.clone()
            y = F.batch_norm(x, m, v, weight, bias, training=mode == "train", momentum=0.1, eps=1e-5)
            grads(out, prefix, y, {"x": x, "weight": weight, "bias": bias})
            out[f"{prefix}/after_mean"], out[f"{prefix}/after_var"] = m, v


def max_pool2d(out):
    for n, c, h, w, ties in [(2, 3, 9, 7, False), (2, 2, 8, 8, False), (1, 3, 10, 5, True)]:
        x = torch.randn(n, c, h, w)
        if ties:
            x = (x * 1.5).round()  # several equal maxima in a window; the first in row order takes the gradient
        x.requires_grad_()
        prefix = f"max_pool2d/n{n}c{c}h{h}w{w}{'_ties' if ties else ''}_k3s2p1"
        grads(out, prefix, F.max_pool2d(x, 3, 2, 1), {"x": x})


def cross_entropy(out):
    # the second case has logits that overflow a softmax that does not subtract the maximum
    for n, c, scale in [(7, 5, 1.0), (4, 3, 60.0)]:
        logits = (torch.randn(n, c) * scale).requires_grad_()
        labels, weights = torch.randint(0, c, (n,)), torch.rand(n)
        weights[1] = 0.0  # a padded sample
        rows = F.cross_entropy(logits, labels, reduction="none")
        prefix = f"cross_entropy/n{n}c{c}"
        out[f"{prefix}/labels"], out[f"{prefix}/weights"], out[f"{prefix}/rows"] = labels, weights, rows
        grads(out, prefix, (weights * rows).sum() / weights.sum(), {"logits": logits})


def normalize(out):
    for n, d in [(5, 16), (3, 7)]:
        x = leaf(n, d)
        grads(out, f"normalize/n{n}d{d}", F.normalize(x, dim=1), {"x": x})


def nt_xent(out):
    """SimCLR's loss. Rows are [view 1 of all N; view 2 of all N]; the positive of row i is row (i + N) mod 2N."""
    for n, d in [(5, 16), (16, 32)]:
        for temperature in (0.07, 0.5):
            x = leaf(2 * n, d)
            z = F.normalize(x, dim=1)
            scores = (z @ z.T / temperature).masked_fill(torch.eye(2 * n, dtype=torch.bool), float("-inf"))
            loss = F.cross_entropy(scores, (torch.arange(2 * n) + n) % (2 * n))
            # x is the projection before L2 normalisation, z the projection after it: a test can begin at either
            grads(out, f"nt_xent/n{n}d{d}t{temperature}", loss, {"x": x, "z": z})


def ops():
    torch.manual_seed(3)
    out = {}
    for make in (conv2d, batch_norm, max_pool2d, cross_entropy, normalize, nt_xent):
        make(out)
    return out


# ---------------------------------------------------------------- optimizers


def optim():
    """Runs five steps with given gradients. param/0 is the start, param/i+1 is the parameter after grad/i."""
    torch.manual_seed(4)
    start = torch.randn(5, 3)
    gradients = [torch.randn(5, 3) for _ in range(5)]
    out = {}
    for name, make in {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2),
        "sgd_nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True),
        "adam": lambda p: torch.optim.Adam(p, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2),
    }.items():
        param = nn.Parameter(start.clone())
        optimizer = make([param])
        out[f"{name}/param/0"] = start
        for i, gradient in enumerate(gradients):
            param.grad = gradient.clone()
            optimizer.step()
            out[f"{name}/grad/{i}"], out[f"{name}/param/{i + 1}"] = gradient, param.detach().clone()
    return out


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    for name, values in {
        "resnet": resnet(1, 8, channels=3, classes=5, stem="3x3", batch=4, height=16, width=16),
        "resnet_7x7": resnet(2, 4, channels=1, classes=5, stem="7x7", batch=3, height=33, width=29),
        "resnet50": resnet(43, 2, channels=3, classes=5, stem="3x3", batch=4, height=16, width=16, network=ResNet50),
        "ops": ops(),
        "norms": norms.make(),
        "optim": optim(),
        "elementwise": elementwise.make(),
        "not_numbers": not_numbers.make(),
        "shape": shape.make(),
        "misc": misc.make(),
        "vit": vit.make(),
        "vit_avg": vit.make("avg"),
        "losses": losses.make(),
        "half": half.make(),
        "ssl": ssl_methods.make(ResNet18),
        "ssl_bigbigan": bigbigan.make(ResNet18),
        "learners": learners.make(ResNet18),
        "ssl_vit": ssl_vit.make(),
        "images": images.make(),
        "views": views.make(),
        "steps": steps.make(),
    }.items():
        # clone: the format refuses tensors that share memory
        tensors = {k: v.detach().clone().contiguous() for k, v in values.items()}
        assert all(v.dtype in (torch.float32, torch.int64) for v in tensors.values())
        assert name == "not_numbers" or all(torch.isfinite(v).all() for v in tensors.values())
        path = folder / f"{name}.safetensors"
        save_file(tensors, path)
        print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
