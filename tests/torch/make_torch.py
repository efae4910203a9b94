#!/usr/bin/env python3
"""Writes the files of this folder: weights as PyTorch saves them, and what PyTorch makes of them.

The tests read the committed files and never run this script. Only re-making them needs

    pip install torch torchvision timm safetensors numpy
    python3 tests/torch/make_torch.py [FOLDER]

README.md beside this file says what each holds.
"""

import os
import pathlib
import sys
import zipfile

import numpy as np
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

torch.set_num_threads(1)
OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)


def save(name, value, **how):
    torch.save(value, OUT / name, **how)


def tensors():
    """Every float, views of one storage, and what is no tensor; all values are exact in every type."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 8 - 1
    values = {
        "f32": base.clone(),
        "f64": base.double(),
        "f16": base.half(),
        "bf16": base.bfloat16(),
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, 1:5:2],
        "permuted": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).permute(2, 0, 1),
        "one": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "parameter": nn.Parameter(base[:2].clone()),
        "count": torch.tensor(7),
    }
    beside = {"epoch": 3, "lr": 0.1, "name": "größe", "big": 2**40, "nothing": None, "yes": True, "betas": (0.9, [1, 2])}
    save("tensors.pt", {**values, **beside})
    save("tensors_4.pt", {**values, **beside}, pickle_protocol=4)
    kept = {k: v.detach().float().contiguous().clone() for k, v in values.items() if v.is_floating_point()}
    save_file(kept, OUT / "tensors.safetensors")


class Hostile:
    """What a pickle can do where it is run: here it would make a file."""

    def __reduce__(self):
        return os.system, ("touch pickle-was-run",)


def refused():
    """Files that are to be refused, each for one thing."""
    weight = {"conv1.weight": torch.ones(2, 3)}
    save("hostile.pth", {**weight, "hook": Hostile()})
    save("module.pth", nn.Linear(2, 3))
    save("nan.pth", {"conv1.weight": torch.tensor([1.0, float("nan")])})
    save("legacy.pth", weight, _use_new_zipfile_serialization=False)
    save("expanded.pth", {"conv1.weight": torch.ones(1).expand(1000)})
    save("twice.pth", {"student": weight, "teacher": {"conv1.weight": torch.zeros(2, 3)}})
    save("complex.pth", {"conv1.weight": torch.ones(2, dtype=torch.complex64)})
    save("weight.pth", weight)
    with zipfile.ZipFile(OUT / "weight.pth") as plain:
        members = {name: plain.read(name) for name in plain.namelist()}
    for name, how, change in [
        ("compressed.pth", zipfile.ZIP_DEFLATED, {}),
        ("big.pth", zipfile.ZIP_STORED, {"weight/byteorder": b"big"}),
        ("without.pth", zipfile.ZIP_STORED, {"weight/data/0": None}),
        ("short.pth", zipfile.ZIP_STORED, {"weight/data/0": members["weight/data/0"][:-4]}),
    ]:
        with zipfile.ZipFile(OUT / name, "w", how) as file:
            for member, data in {**members, **change}.items():
                if data is not None:
                    file.writestr(zipfile.ZipInfo(member), data, how)


class Narrow(torchvision.models.ResNet):
    """torchvision's ResNet-18 with a sixteenth of its channels."""

    def __init__(self):
        super().__init__(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=5)
        self.conv1, self.bn1, self.fc = nn.Conv2d(3, 4, 7, 2, 3, bias=False), nn.BatchNorm2d(4), nn.Linear(32, 5)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        self.inplanes = 4 if self.inplanes == 64 else self.inplanes
        return super()._make_layer(block, planes // 16, blocks, stride, dilate)


def halved(model):
    """Values that f16 holds, random where they begin as zeros and ones, so that a forgotten tensor shows."""
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if not value.is_floating_point():
            continue
        if "running_var" in name or ("norm" in name or "bn" in name or "downsample.1" in name) and "weight" in name:
            value.data.uniform_(0.5, 1.5)
        elif value.dim() < 2 or "token" in name or "pos" in name:
            value.data.normal_(0, 0.3)
        value.data = value.data.half().float()
    return model.eval()


def images(name, size):
    """A MedMNIST archive of images of this size; gives them normalized, train before test."""
    rng = np.random.default_rng(size)
    pixels = rng.integers(0, 256, (6, size, size, 3), dtype=np.uint8)
    labels = np.array([[0], [1], [2], [0], [1], [2]], dtype=np.uint8)
    np.savez(
        OUT / name, train_images=pixels[:4], train_labels=labels[:4], test_images=pixels[4:], test_labels=labels[4:]
    )
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def half(state):
    return {k: v.half() if v.is_floating_point() else v for k, v in state.items()}


def backbones():
    """Checkpoints as people have them, and the features that their own programs compute."""
    torch.manual_seed(3)
    small, large = images("images16.npz", 16), images("images24.npz", 24)
    features = {}
    with torch.no_grad():
        resnet = halved(Narrow())
        optimizer = torch.optim.SGD([resnet.bn1.weight], 0.0, momentum=0.9)
        resnet.bn1.weight.grad = torch.ones(4)
        optimizer.step()  # moves nothing, but has momenta then
        state = {f"module.{k}": v for k, v in half(resnet.state_dict()).items()}
        checkpoint = {"epoch": 3, "arch": "resnet18", "state_dict": state, "best_acc1": 0.5}
        save("resnet.pth", {**checkpoint, "optimizer": optimizer.state_dict()})
        save_file({k: v.contiguous() for k, v in half(resnet.state_dict()).items()}, OUT / "resnet.safetensors")
        resnet.fc = nn.Identity()
        features["resnet"] = resnet(small)

        how = {"img_size": 16, "patch_size": 4, "embed_dim": 64, "depth": 1, "num_heads": 1, "num_classes": 5}
        vit = halved(VisionTransformer(**how, dynamic_img_size=True))
        save("vit.pth", half(vit.state_dict()))
        pooled = lambda x, m: m.forward_head(m.forward_features(x), pre_logits=True)
        features["vit"], features["vit_24"] = pooled(small, vit), pooled(large, vit)

        # DINOv2: layer scale, registers without positions, a mask token. timm has the class token's position in the token.
        how |= {"num_classes": 0, "init_values": 1.0, "reg_tokens": 2, "no_embed_class": True}
        dino = halved(VisionTransformer(**how, dynamic_img_size=True))
        save("dino_timm.pth", half(dino.state_dict()))
        state = half(dino.state_dict())
        state["register_tokens"] = state.pop("reg_token")
        state["pos_embed"] = torch.cat([torch.zeros(1, 1, 64).half(), state["pos_embed"]], 1)
        state["mask_token"] = torch.ones(1, 64)
        save("dino.pth", {"teacher": {f"backbone.{k}": v for k, v in state.items()}})
        features["dino"], features["dino_24"] = pooled(small, dino), pooled(large, dino)
    save_file({k: v.contiguous() for k, v in features.items()}, OUT / "features.safetensors")


def positions():
    """timm's resized position embeddings."""
    torch.manual_seed(5)
    out = {}
    for old, prefix in [(14, 1), (4, 1), (3, 0)]:
        start = torch.randn(1, old * old + prefix, 5)
        name = f"{old}_{prefix}"
        out[f"from_{name}"] = start
        for new in [2, 7, 8, 16, 37]:
            out[f"to_{name}_{new}"] = resample_abs_pos_embed(start, [new, new], num_prefix_tokens=prefix)
    save_file({k: v.contiguous() for k, v in out.items()}, OUT / "positions.safetensors")


if __name__ == "__main__":
    tensors()
    refused()
    backbones()
    positions()
