"""Golden values of a small vision transformer with timm's names; make_golden.py writes them.

The keys are those of `resnet`: param/<name>, input, labels, train/logits, train/loss, grad/<name>. The modules are
PyTorch's own. Their attributes are declared in timm's order, so named_parameters() gives timm's names in its order.
"""

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-6


class PatchEmbed(nn.Module):
    """timm.layers.PatchEmbed: a convolution whose kernel is one patch."""

    def __init__(self, channels, width, patch):
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """timm's Attention: one product gives q, k and v, each split into heads."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(n, t, d))


class Mlp(nn.Module):
    """timm.layers.Mlp."""

    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """timm's Block, with the norms first."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    """timm.models.VisionTransformer with a class token."""

    def __init__(self, patch, width, depth, heads, channels, patches, classes):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.5 * torch.randn(1, patches + 1, width))
        self.patch_embed = PatchEmbed(channels, width, patch)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, EPS)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def make():
    """Makes 2 blocks of width 12 with 3 heads. Images have 2 channels and 12 x 8 pixels; patches of 4 give 6
    patches."""
    torch.manual_seed(7)
    model = Vit(4, 12, 2, 3, 2, 6, 5)
    # Scales and shifts of norms are not 1 and 0, so that a test sees one that is swapped or forgotten.
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    x, labels = torch.randn(3, 2, 12, 8), torch.randint(0, 5, (3,))
    out = {"input": x, "labels": labels}
    out |= {f"param/{k}": v.detach().clone() for k, v in model.state_dict().items()}
    logits = model(x)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    out["train/logits"], out["train/loss"] = logits, loss
    return out | {f"grad/{k}": p.grad for k, p in model.named_parameters()}
