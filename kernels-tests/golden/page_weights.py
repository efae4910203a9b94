#!/usr/bin/env python3
"""Trains two steps in a page of `wgslab export step` and loads the weights that it gives into torchvision's ResNet-18.

    pip install torch torchvision timm safetensors
    python3 kernels-tests/golden/page_weights.py target/release/wgslab

It needs Chromium, which brings a software GPU. The network takes the weights with strict=True, and its features of the page's
images must be those that the page computes itself, to 1 in 1,000 of the largest.
"""

import argparse
import base64
import json
import os
import pathlib
import subprocess
import tempfile
import time

import torch
from load_strict import network
from safetensors.torch import load_file

CONFIG = """[data]
store_size = 32
image_size = 32
channels = 3
[model]
arch = "resnet18"
width = 1
stem = "7x7"
[pretraining]
methods = ["simclr"]
epochs = 1
warmup_epochs = 0
batch_size = 4
[evaluation]
batch_size = 8
"""
DATA = "phantom:nct-crc?train=18&val=9&test=9"
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
         "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan", "--remote-debugging-pipe"]
STEPS = """(async () => {
    const t = page.trainer, text = (bytes) => btoa(Array.from(new Uint8Array(bytes), (c) => String.fromCharCode(c)).join(""));
    await t.open(() => 0);
    for (let i = 0; i < 2; i++) await t.step();
    await t.readLosses();
    t.eye.write("indices", Uint32Array.from({ length: 8 }, (_, i) => i));
    t.eye.run();
    const { dims, mean, std } = { dims: t.about.view_dims, ...t.about };
    window.found = { weights: text(await (await t.weights()).arrayBuffer()), features: text(await t.eye.read("features")),
        images: text(t.bytes.slice(0, 8 * dims[0] * dims[1] * dims[2])), dims, mean, std, losses: t.losses };
})().catch((e) => { window.found = { wrong: e.message }; }); 0"""


class Browser:
    """A headless Chromium, driven through two pipes by messages of its DevTools protocol."""

    def __init__(self, program, folder):
        (read, self.to), (self.back, write) = os.pipe(), os.pipe()

        def pipes():  # Chromium reads commands from descriptor 3 and writes answers to 4
            os.dup2(read, 60), os.dup2(write, 61), os.dup2(60, 3), os.dup2(61, 4)

        words = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.child = subprocess.Popen(words, preexec_fn=pipes, close_fds=False, **quiet)
        os.close(read), os.close(write)
        self.last, self.session, self.rest = 0, None, b""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def command(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        message = message | {"sessionId": self.session} if self.session else message
        left = json.dumps(message).encode() + b"\0"
        while left:
            left = left[os.write(self.to, left):]
        while True:
            while b"\0" not in self.rest:
                more = os.read(self.back, 1 << 20)
                if not more:
                    raise SystemExit(f"the browser ended at {method}")
                self.rest += more
            answer, self.rest = self.rest.split(b"\0", 1)
            answer = json.loads(answer)
            if answer.get("id") == self.last:
                return answer["result"]

    def value(self, expression):
        return self.command("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression, seconds):
        until = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):
            if time.monotonic() > until:
                raise SystemExit(f"after {seconds} s it does not hold that {expression}: {self.value('document.body.innerText')}")
            time.sleep(0.5)


def floats(text):
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the built wgslab")
    parser.add_argument("--chromium", default="chromium")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        folder = pathlib.Path(folder)
        (folder / "c.toml").write_text(CONFIG)
        subprocess.run([pathlib.Path(a.program).resolve(), "export", "step", "c.toml", "--data", DATA, "--out", "page"],
                       cwd=folder, check=True)
        browser = Browser(a.chromium, folder / "profile")
        try:
            browser.command("Page.navigate", url=f"file://{folder}/page/index.html")
            browser.wait("document.readyState === 'complete' && typeof page === 'object' && page.trainer", 120)
            browser.value(STEPS)
            browser.wait("window.found", 1800)
            found = browser.value("found")
        finally:
            browser.child.terminate()
            browser.child.wait()
        if "wrong" in found:
            raise SystemExit(found["wrong"])
        (folder / "weights.safetensors").write_bytes(base64.b64decode(found["weights"]))
        weights = load_file(folder / "weights.safetensors")
    net = network(argparse.Namespace(arch="resnet18", stem="7x7", channels=3)).eval()
    print(net.load_state_dict(weights, strict=True), "of", len(weights), "tensors; losses", found["losses"])
    assert all(int(v) == 2 for name, v in weights.items() if name.endswith("num_batches_tracked"))
    images = torch.frombuffer(bytearray(base64.b64decode(found["images"])), dtype=torch.uint8).reshape(8, 32, 32, 3)
    mean, std = (torch.tensor(found[k]).reshape(3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        ours = net((images.permute(0, 3, 1, 2) / 255 - mean) / std)
    theirs = floats(found["features"]).reshape(ours.shape)
    off, most = (ours - theirs).abs().max().item(), ours.abs().max().item()
    print(f"features of {len(images)} images: off by {off:.2g} where the largest is {most:.3g}")
    assert off <= 1e-3 * most and not torch.equal(ours[0], ours[1])


if __name__ == "__main__":
    main()
