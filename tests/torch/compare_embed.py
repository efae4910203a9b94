#!/usr/bin/env python3
"""Compares `wgslab embed` with torchvision and timm at full size, and times both on the same cores.

    pip install torch torchvision timm numpy
    python3 tests/torch/compare_embed.py target/release/wgslab [IMAGES [SIDE [NAME ...]]]

Weights are random, saved as .pth; images are random and have the network's size, so that nothing is resized. The
difference is the largest of all features, as a share of the largest feature. Batches are of 32 images on either side.
Times are of IMAGES images: of PyTorch's forward passes alone; of wgslab's whole command less the same with 32 images,
and of that with 32 images, which is start, compilation and loading. Seconds of CPU stand beside seconds: on a machine
that does other work, too, they say more.
"""

import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import timm
import torch
import torchvision

MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)


def resnet(make):
    model = make(weights=None)
    state = model.state_dict()
    model.fc = torch.nn.Identity()
    return model, state, model


def transformer(name, side, **how):
    model = timm.create_model(name, pretrained=False, img_size=side, **how)
    features = lambda x: model.forward_head(model.forward_features(x), pre_logits=True)
    return model, model.state_dict(), features


MODELS = {
    "resnet18": lambda _: resnet(torchvision.models.resnet18),
    "resnet34": lambda _: resnet(torchvision.models.resnet34),
    "resnet50": lambda _: resnet(torchvision.models.resnet50),
    "vit_tiny": lambda side: transformer("vit_tiny_patch16_224", side),
    "vit_base": lambda side: transformer("vit_base_patch16_224", side),
    "dinov2": lambda side: transformer("vit_small_patch14_dinov2", side // 14 * 14),
    "dinov2_registers": lambda side: transformer("vit_small_patch14_reg4_dinov2", side // 14 * 14),
}


def compare(program, name, count, side, folder):
    torch.manual_seed(1)
    model, state, features = MODELS[name](side)
    model.eval()
    for key, value in model.state_dict().items():  # fresh statistics and scales would hide a forgotten tensor
        if "running_var" in key or value.dim() == 1 and key.endswith((".weight", "gamma")):
            value.uniform_(0.5, 1.5)
        elif value.dim() == 1 and value.is_floating_point():
            value.normal_(0, 0.2)
    side = side // 14 * 14 if name.startswith("dinov2") else side
    pixels = np.random.default_rng(2).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.uint8).reshape(-1, 1) % 7
    for file, n in [("few.npz", 32), ("images.npz", count)]:
        np.savez(folder / file, test_images=pixels[:n], test_labels=labels[:n])
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, folder / "w.pth")
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
    with torch.inference_mode():
        features(x[:32])
        since, cpu = time.perf_counter(), time.process_time()
        due = torch.cat([features(part) for part in x.split(32)]).numpy()
        theirs = (time.perf_counter() - since, time.process_time() - cpu)
    few, all_images = (embed(program, folder, images, side) for images in ["few.npz", "images.npz"])
    ours = [(a - b) * count / (count - 32) for a, b in zip(all_images, few)]
    got = np.load(folder / "f.npz", allow_pickle=False)
    assert got["features"].dtype == np.float32 and got["labels"].dtype == np.int64
    assert list(got["names"][:2]) == ["test/0", "test/1"] and got["labels"][8] == 1 and got["classes"][6] == "6"
    far = np.abs(got["features"] - due).max() / np.abs(due).max()
    print(
        f"{name:<17} {count} images of {side}: {far:.1e} apart; PyTorch {theirs[0]:.1f} s ({theirs[1]:.1f} s of CPU), wgslab "
        f"{ours[0]:.1f} s ({ours[1]:.1f} s of CPU) after {few[0]:.1f} s ({few[1]:.1f} s of CPU)",
        flush=True,
    )
    assert far < 1e-4, far


def embed(program, folder, images, side):
    """Seconds, and seconds of CPU, of the command."""
    spent = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    since, cpu = time.perf_counter(), spent()
    words = [program, "embed", "--weights", "w.pth", "--data", images, "--out", "f.npz", "--image-size", str(side)]
    done = subprocess.run(words, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return time.perf_counter() - since, spent() - cpu


if __name__ == "__main__":
    program = str(pathlib.Path(sys.argv[1]).resolve())
    count, side = (int(sys.argv[i]) if len(sys.argv) > i else default for i, default in [(2, 256), (3, 64)])
    for name in sys.argv[4:] or MODELS:
        with tempfile.TemporaryDirectory() as folder:
            compare(program, name, count, side, pathlib.Path(folder))
