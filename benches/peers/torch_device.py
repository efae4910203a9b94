"""A PyTorch device: how to wait for it, how to time on it, and what a report says about it."""

import platform
import time

import torch

import lab


class Device:
    """The kind: cpu, cuda (also for ROCm), mps or xpu."""

    def __init__(self, name, threads=None, tf32=False):
        kind = name.split(":")[0]
        if kind not in ("cpu", "cuda", "mps", "xpu"):
            lab.fail(f"--device {name}: use cpu, cuda, mps or xpu")
        if kind != "cpu" and not getattr(torch, kind).is_available():
            lab.fail(f"--device {name}: PyTorch {torch.__version__} finds no such device here")
        self.kind, self.device = kind, torch.device(name)
        self.module = None if kind == "cpu" else getattr(torch, kind)
        if kind in ("cuda", "xpu") and self.device.index is not None:
            self.module.set_device(self.device)  # events belong to the current device
        if threads:
            torch.set_num_threads(threads)
        self.tf32 = tf32 and kind == "cuda"
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = self.tf32
        # What a fast training script sets. The tries are part of the warm-up.
        torch.backends.cudnn.benchmark = True

    def wait(self):
        """Waits until everything that was submitted has run."""
        if self.module:
            self.module.synchronize(*([self.device] if self.kind in ("cuda", "xpu") else []))

    def timed(self, work, repeats=1):
        """Times `repeats` runs: (ms by the device's events or None, ms by the host's clock)."""
        self.wait()
        start = time.perf_counter()
        if self.kind == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
        for _ in range(repeats):
            work()
        if self.kind == "cuda":
            end.record()
        self.wait()
        wall = (time.perf_counter() - start) * 1e3
        return (begin.elapsed_time(end) if self.kind == "cuda" else None), wall

    def environment(self):
        """The environment record of a report."""
        features = [f"threads {torch.get_num_threads()}"] if self.kind == "cpu" else []
        features += [torch.backends.cpu.get_cpu_capability()] if self.kind == "cpu" else []
        features += ["tf32"] if self.tf32 else []
        adapter, subgroup = lab.cpu(), None
        driver = f"PyTorch {torch.__version__}, Python {platform.python_version()}"
        backend = self.kind
        if self.kind == "cuda":
            properties = torch.cuda.get_device_properties(self.device)
            adapter, subgroup = properties.name, [properties.warp_size] * 2
            backend = "rocm" if torch.version.hip else "cuda"
            driver += f", {backend} {torch.version.hip or torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        elif self.kind == "xpu":
            adapter = torch.xpu.get_device_name(self.device)
        timer = "timestamps" if self.kind == "cuda" else "wall"
        version = f"torch {torch.__version__}"
        return lab.environment(adapter, driver, backend, version, features, subgroup, timer)

    def add_arguments(parser):
        """Adds --device, --threads and --tf32."""
        parser.add_argument("--device", default="cpu", help="cpu, cuda (ROCm too), mps or xpu [cpu]")
        parser.add_argument("--threads", type=int, help="CPU threads [as many as PyTorch takes]")
        parser.add_argument("--tf32", action="store_true", help="let CUDA round f32 products to TF32; off without it")

    def of(arguments):
        """The device that the arguments name."""
        return Device(arguments.device, arguments.threads, arguments.tf32)
