"""Three steps of MAE from the same weights, views and masks: losses and weights, in f64.

The encoder is timm's VisionTransformer in lightly's MaskedVisionTransformerTIMM, the decoder lightly's
MaskedVisionTransformerDecoderTIMM, and so are patches and their standardised pixels (`pip install lightly timm`): an implementation nobody here wrote. Positions are
those of lightly's fixed sines and cosines.

`make()` returns the tensors of ssl_vit.safetensors: the keys are those of ssl.safetensors, `mae/...`, with the backbone's
parameters under `param/`.
"""

import copy

import ssl_methods
import torch
from lightly.models import utils
from lightly.models.modules import MaskedVisionTransformerDecoderTIMM, MaskedVisionTransformerTIMM
from ssl_methods import BATCH, SIZE, STEPS
from timm.models.vision_transformer import VisionTransformer
from torch import nn

PATCH, WIDTH, DEPTH, HEADS, DECODER = 4, 12, 2, 3, 8
# much larger than the residual networks': each update is then far above what f32 rounds of the weight
LR = 0.5
PATCHES, SEEN = (SIZE // PATCH) ** 2, (SIZE // PATCH) ** 2 // 4


class Mae(nn.Module):
    def __init__(self):
        super().__init__()
        vit = VisionTransformer(
            img_size=SIZE, patch_size=PATCH, in_chans=1, num_classes=0, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS)
        self.encoder = MaskedVisionTransformerTIMM(vit)
        # lightly's fills the masked places with this token in methods that keep all of them; MAE leaves them out
        self.encoder.mask_token.requires_grad = False
        self.decoder_embed = nn.Linear(WIDTH, DECODER)
        self.decoder = MaskedVisionTransformerDecoderTIMM(PATCHES, embed_dim=DECODER, depth=1, num_heads=2)
        self.decoder_pred = nn.Linear(DECODER, PATCH * PATCH)

    def loss(self, views, step):
        kept, hidden = self.kept[step], self.hidden[step]
        x = self.encoder.encode(views[0], idx_keep=kept)
        x = self.decoder_embed(x)
        everything = utils.repeat_token(self.decoder.mask_token, (BATCH, PATCHES + 1))
        everything = utils.set_at_index(everything, kept, x.type_as(everything))
        told = self.decoder_pred(utils.get_at_index(self.decoder(everything), hidden))
        # the class token has index 0, the patches come behind it
        target = utils.get_at_index(utils.patchify(views[0], PATCH), hidden - 1)
        return (told - utils.normalize_mean_var(target)).pow(2).mean()

    def mean_of_orders(self):
        pass

    def after(self, step):
        pass

    def draw(self):
        """Orders of the patches: the first ones are seen. As row numbers for the program, kept here by image."""
        orders = [torch.stack([torch.randperm(PATCHES) for _ in range(BATCH)]) for _ in range(STEPS)]
        image = torch.arange(BATCH).unsqueeze(1)
        with_class = [torch.cat([torch.zeros_like(o[:, :1]), 1 + o[:, :SEEN]], 1) for o in orders]
        self.kept, self.hidden = with_class, [1 + o[:, SEEN:] for o in orders]
        return {
            "visible_tokens": [(image * (PATCHES + 1) + k).flatten() for k in self.kept],
            "hidden_patches": [(image * PATCHES + h - 1).flatten() for h in self.hidden],
        }


def named(weights):
    """By the program's names; the encoder's token for masked places is not MAE's."""
    def ours(key):
        if key.startswith("encoder.vit."):
            return key.replace("encoder.vit.", "backbone.")
        return key.replace("decoder.", "decoder_").replace("decoder_mask", "mask")
    return {ours(k): v for k, v in weights.items() if k != "encoder.mask_token"}


def stir(model):
    """Scales and shifts differ from 1 and 0, and biases from 0: a test must see a swapped or forgotten one."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
        if isinstance(module, (nn.LayerNorm, nn.Linear)):
            nn.init.uniform_(module.bias, -0.3, 0.3)


def make():
    torch.manual_seed(40)
    model = Mae()
    stir(model)
    views = [[torch.randn(BATCH, 1, SIZE, SIZE)] for _ in range(STEPS)]
    draws, start = model.draw(), ssl_methods.weights(model)
    exact, exact_after = ssl_methods.run(
        copy.deepcopy(model).double(), [[v.double() for v in step] for step in views], LR)
    out = {f"mae/input/{k}/{s}": v for k, steps in draws.items() for s, v in enumerate(steps)}
    out |= {(f"param/{k}" if k.startswith("backbone.") else f"mae/param/{k}"): v for k, v in named(start).items()}
    out |= {f"mae/view0/{s}": step[0] for s, step in enumerate(views)}
    losses, after = ssl_methods.run(model, views, LR)
    out["mae/loss"] = exact.float()
    out |= {f"mae/after/{k}": v.float() for k, v in named(exact_after[-1]).items()}
    error = ssl_methods.update_error(start, exact_after[-1], after[-1])
    print(f"  mae: f32 against f64, loss {((losses - exact) / exact).abs().max():.1e}, update %.1e (%s)" % error)
    return out
