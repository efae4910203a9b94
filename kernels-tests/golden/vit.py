"""Golden values of a small vision transformer with timm's names; make_golden.py writes them.

The keys are those of `resnet`: param/<name>, input, labels, train/logits, train/loss, grad/<name>. The modules are
PyTorch's own. Their attributes are declared in timm's order, so named_parameters() gives timm's names in its order. timm's
own network (`pip install timm`) must take the weights with strict=True and give the same logits.
"""

import timm
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
    """timm.models.VisionTransformer with a class token, or the mean of the other tokens before the norm."""

    def __init__(self, patch, width, depth, heads, channels, patches, classes, pool):
        super().__init__()
        self.pool = pool
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.5 * torch.randn(1, patches + 1, width))
        self.patch_embed = PatchEmbed(channels, width, patch)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(depth)])
        setattr(self, "norm" if pool == "token" else "fc_norm", nn.LayerNorm(width, EPS))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        x = self.blocks(x)
        x = self.norm(x)[:, 0] if self.pool == "token" else self.fc_norm(x[:, 1:].mean(1))
        return self.head(x)


def make(pool="token"):
    """Makes 2 blocks of width 12 with 3 heads. Images have 2 channels and 12 x 8 pixels; patches of 4 give 6
    patches."""
    torch.manual_seed(7)
    model = Vit(4, 12, 2, 3, 2, 6, 5, pool)
    # Scales and shifts of norms are not 1 and 0, so that a test sees one that is swapped or forgotten.
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    x, labels = torch.randn(3, 2, 12, 8), torch.randint(0, 5, (3,))
    out = {"input": x, "labels": labels}
    out |= {f"param/{k}": v.detach().clone() for k, v in model.state_dict().items()}
    logits = model(x)
    theirs = timm.models.VisionTransformer(
        img_size=(12, 8), patch_size=4, in_chans=2, num_classes=5, global_pool=pool, embed_dim=12, depth=2, num_heads=3)
    theirs.load_state_dict(model.state_dict(), strict=True)
    torch.testing.assert_close(theirs.eval()(x), logits)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    out["train/logits"], out["train/loss"] = logits, loss
    return out | {f"grad/{k}": p.grad for k, p in model.named_parameters()}
