"""Losses, each written from its paper or its authors' code with PyTorch's own operations.

`make()` returns the tensors of losses.safetensors: `<op>/<case>/<tensor>`. `in/<i>` are the inputs in the op's order,
and `numbers` are the op's numbers (temperature, λ, …). `loss` is the loss, `rows` the loss of each row, where there is
one, and `grad/<i>` the gradient of each input that has one.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Case:
    """Collects one case: its inputs, which of them have a gradient, and its results."""

    def __init__(self, out, op, name, inputs, wrt, numbers=()):
        self.out, self.prefix, self.inputs, self.wrt = out, f"{op}/{name}", inputs, wrt
        for i, x in enumerate(inputs):
            out[f"{self.prefix}/in/{i}"] = x.detach().clone()
        if numbers:
            out[f"{self.prefix}/numbers"] = torch.tensor(numbers, dtype=torch.float32)
        for i in wrt:
            inputs[i].requires_grad_()

    def done(self, loss, rows=None):
        grads = torch.autograd.grad(loss, [self.inputs[i] for i in self.wrt])
        self.out[f"{self.prefix}/loss"] = loss
        if rows is not None:
            self.out[f"{self.prefix}/rows"] = rows
        for i, grad in zip(self.wrt, grads):
            self.out[f"{self.prefix}/grad/{i}"] = grad

    def mean(self, rows, weights):
        """The weighted mean of the rows' losses."""
        self.done((weights * rows).sum() / weights.sum(), rows)


def weights_of(n):
    """Draws random weights. The weight of row 1, if there is one, is 0: that row is padding."""
    weights = torch.rand(n) + 0.1
    weights[1:2] = 0.0
    return weights


def labelled(n, k, scale=1.0):
    return torch.randn(n, k) * scale, torch.randint(0, k, (n,)), weights_of(n)


SIZES = [(1, 3), (7, 5), (4, 36)]


def cross_entropy(out):
    for n, k in SIZES:
        for name, smoothing, classes, soft in [
            ("smoothing", 0.1, False, False),
            ("classes", 0.0, True, False),
            ("both", 0.2, True, False),
            ("soft", 0.0, False, True),
            ("soft_both", 0.2, True, True),
        ]:
            logits, targets, _ = labelled(n, k)
            if soft:
                targets = torch.softmax(torch.randn(n, k), 1)
            class_weights = torch.rand(k) + 0.5 if classes else None
            # PyTorch's own mean has no weights of rows, so they are all 1 here.
            inputs = [logits, targets] + ([class_weights] if classes else []) + [torch.ones(n)]
            case = Case(out, "cross_entropy", f"{name}_n{n}k{k}", inputs, [0], [smoothing])
            kind = {"weight": class_weights, "label_smoothing": smoothing}
            rows = F.cross_entropy(logits, targets, reduction="none", **kind)
            case.done(F.cross_entropy(logits, targets, **kind), rows)


def gce(out):
    """The loss of AlanChou/Truncated-Loss, without the truncation: (1 - Yg**q) / q."""
    for n, k in SIZES:
        for q in (0.3, 0.7, 1.0):
            logits, labels, weights = labelled(n, k)
            case = Case(out, "gce", f"n{n}k{k}q{q}", [logits, labels, weights], [0], [q])
            p = F.softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
            case.mean((1 - p**q) / q, weights)


def reverse_cross_entropy(logits, labels, log_zero):
    """As in HanxunH/SCELoss-Reproduce and Active-Passive-Losses, with both clamps; the log of the clamped one-hot is
    A."""
    p = torch.clamp(F.softmax(logits, dim=1), min=1e-7, max=1.0)
    one_hot = F.one_hot(labels, logits.shape[1]).float()
    one_hot = torch.clamp(one_hot, min=math.exp(log_zero), max=1.0)
    return -(p * torch.log(one_hot)).sum(dim=1)


def sce(out):
    for n, k in SIZES:
        for alpha, beta, log_zero, scale in [(0.1, 1.0, math.log(1e-4), 1.0), (6.0, 0.1, -4.0, 10.0)]:
            logits, labels, weights = labelled(n, k, scale)
            case = Case(out, "sce", f"n{n}k{k}a{alpha}", [logits, labels, weights], [0], [alpha, beta, log_zero])
            ce = F.cross_entropy(logits, labels, reduction="none")
            case.mean(alpha * ce + beta * reverse_cross_entropy(logits, labels, log_zero), weights)


def nce_rce(out):
    for n, k in SIZES:
        for alpha, beta, scale in [(1.0, 1.0, 1.0), (10.0, 0.1, 10.0)]:
            logits, labels, weights = labelled(n, k, scale)
            log_zero = math.log(1e-4)
            case = Case(out, "nce_rce", f"n{n}k{k}a{alpha}", [logits, labels, weights], [0], [alpha, beta, log_zero])
            log_p = F.log_softmax(logits, dim=1)
            one_hot = F.one_hot(labels, k).float()
            nce = -(one_hot * log_p).sum(dim=1) / (-log_p.sum(dim=1))
            case.mean(alpha * nce + beta * reverse_cross_entropy(logits, labels, log_zero), weights)


def elr(out):
    """As in shengliu66/ELR: the targets move first, with the clamped softmax, and then the loss reads them."""
    for n, k in SIZES:
        for beta, lam, scale in [(0.7, 3.0, 1.0), (0.9, 7.0, 8.0)]:
            logits, labels, weights = labelled(n, k, scale)
            table = torch.zeros(2 * n, k)
            index = torch.randperm(2 * n)[:n]
            case = Case(out, "elr", f"n{n}k{k}l{lam}", [logits, labels, index, weights], [0], [beta, lam])
            p = torch.clamp(F.softmax(logits, dim=1), 1e-4, 1.0 - 1e-4)
            fixed = p.detach()
            moved = table.clone()
            live = weights > 0
            moved[index] = beta * moved[index] + (1 - beta) * (fixed / fixed.sum(dim=1, keepdim=True))
            moved[index[~live]] = table[index[~live]]  # padding does not move the targets
            regular = (1 - (moved[index] * p).sum(dim=1)).log()
            case.mean(F.cross_entropy(logits, labels, reduction="none") + lam * regular, weights)
            out[f"{case.prefix}/table"] = moved


def kl_div(out):
    for n, k in SIZES:
        for temperature in (1.0, 4.0):
            student, teacher, weights = torch.randn(n, k) * 2, torch.randn(n, k) * 2, weights_of(n)
            case = Case(out, "kl_div", f"n{n}k{k}t{temperature}", [student, teacher, weights], [0, 1], [temperature])
            log_s, log_t = (F.log_softmax(x / temperature, dim=1) for x in (student, teacher))
            case.mean(F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(dim=1), weights)


def mse(out):
    for n, k in SIZES:
        x, y, weights = torch.randn(n, k), torch.randn(n, k), weights_of(n)
        case = Case(out, "mse", f"n{n}k{k}", [x, y, weights], [0, 1])
        case.mean(F.mse_loss(x, y, reduction="none").mean(dim=1), weights)


def bce_with_logits(out):
    for n, k in SIZES:
        for positives in (False, True):
            logits, targets, weights = torch.randn(n, k) * 5, torch.rand(n, k), weights_of(n)
            pos_weight = torch.rand(k) * 3 if positives else None
            inputs = [logits, targets] + ([pos_weight] if positives else []) + [weights]
            case = Case(out, "bce_with_logits", f"n{n}k{k}{'p' if positives else ''}", inputs, [0])
            rows = F.binary_cross_entropy_with_logits(logits, targets, reduction="none", pos_weight=pos_weight)
            case.mean(rows.mean(dim=1), weights)


def kl_gaussian(out):
    for n, k in SIZES:
        mean, log_variance, weights = torch.randn(n, k), torch.randn(n, k), weights_of(n)
        case = Case(out, "kl_gaussian", f"n{n}k{k}", [mean, log_variance, weights], [0, 1])
        rows = -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(dim=1)
        case.mean(rows, weights)


def hinge(out):
    for n, k in SIZES:
        for which, f in enumerate([lambda x: F.relu(1 - x), lambda x: F.relu(1 + x), lambda x: -x]):
            scores, weights = torch.randn(n, k) * 2, weights_of(n)
            case = Case(out, "hinge", f"n{n}k{k}w{which}", [scores, weights], [0], [float(which)])
            case.mean(f(scores).mean(dim=1), weights)


def negative_cosine(out):
    for n, k in SIZES:
        a, b, weights = torch.randn(n, k), torch.randn(n, k), weights_of(n)
        case = Case(out, "negative_cosine", f"n{n}k{k}", [a, b, weights], [0, 1], [1e-8])
        case.mean(-nn.CosineSimilarity(dim=1, eps=1e-8)(a, b), weights)


def info_nce(out):
    """As in facebookresearch/moco: logits [N, 1 + K], the positive first, cross-entropy against label 0."""
    for n, k, d in [(1, 3, 4), (5, 17, 9), (8, 40, 16)]:
        for temperature in (0.07, 0.2):
            query, key, queue = (F.normalize(torch.randn(m, d), dim=1) for m in (n, n, k))
            weights = weights_of(n)
            name = f"n{n}k{k}d{d}t{temperature}"
            case = Case(out, "info_nce", name, [query, key, queue, weights], [0, 1], [temperature])
            l_pos = torch.einsum("nc,nc->n", [query, key]).unsqueeze(-1)
            l_neg = torch.einsum("nc,ck->nk", [query, queue.T])
            logits = torch.cat([l_pos, l_neg], dim=1) / temperature
            case.mean(F.cross_entropy(logits, torch.zeros(n, dtype=torch.long), reduction="none"), weights)


def off_diagonal(x):
    n, _ = x.shape
    return x.flatten()[:-1].view(n - 1, n + 1)[:, 1:].flatten()


def barlow_twins(out):
    """As in facebookresearch/barlowtwins: batch norm without affine, c divided by the batch size."""
    for n, d in [(4, 3), (7, 5), (16, 12)]:
        for lam in (5e-3, 0.5):
            z1, z2 = torch.randn(n, d), torch.randn(n, d) * 2 + 1
            z2 = z2 + 0.5 * z1
            case = Case(out, "barlow_twins", f"n{n}d{d}l{lam}", [z1, z2], [0, 1], [lam])
            bn = nn.BatchNorm1d(d, affine=False)
            c = bn(z1).T @ bn(z2)
            c = c / n
            on_diag = torch.diagonal(c).add(-1).pow(2).sum()
            case.done(on_diag + lam * off_diagonal(c).pow(2).sum())


def vicreg(out):
    """As in facebookresearch/vicreg, main_vicreg.py."""
    for n, d in [(4, 3), (7, 5), (16, 12)]:
        for scale in (0.5, 1.5):
            x = torch.randn(n, d) * scale
            y = (x + torch.randn(n, d) * 0.3).clone()
            case = Case(out, "vicreg", f"n{n}d{d}s{scale}", [x, y], [0, 1], [25.0, 25.0, 1.0])
            repr_loss = F.mse_loss(x, y)
            a, b = x - x.mean(dim=0), y - y.mean(dim=0)
            std_a, std_b = torch.sqrt(a.var(dim=0) + 0.0001), torch.sqrt(b.var(dim=0) + 0.0001)
            std_loss = torch.mean(F.relu(1 - std_a)) / 2 + torch.mean(F.relu(1 - std_b)) / 2
            cov_a, cov_b = (a.T @ a) / (n - 1), (b.T @ b) / (n - 1)
            cov_loss = off_diagonal(cov_a).pow(2).sum().div(d) + off_diagonal(cov_b).pow(2).sum().div(d)
            case.done(25.0 * repr_loss + 25.0 * std_loss + cov_loss)


def make():
    torch.manual_seed(7)
    out = {}
    for loss in (
        cross_entropy,
        gce,
        sce,
        nce_rce,
        elr,
        kl_div,
        mse,
        bce_with_logits,
        kl_gaussian,
        hinge,
        negative_cosine,
        info_nce,
        barlow_twins,
        vicreg,
    ):
        loss(out)
    return out
