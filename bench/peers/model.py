"""The model and the optimizers of trainer/train.go in PyTorch.

The same formulas, sizes and names of parameters, written as PyTorch runs them
best on a CPU: scaled_dot_product_attention, rms_norm, fused AdamW, and Muon on
stacks of matrices of one shape, as Karpathy's train.py has it. Everything is
float32. `c` holds the constants of train.go by their names there.

Letters: B batch, T context, C width, V vocabulary, L layers, NH query heads,
NKV key heads, D width of a head.
"""

import json
import math
import struct

import numpy as np
import torch
import torch.nn.functional as F


def read_safetensors(path):
    """Reads the float32 and int32 arrays of a file that trainer/tensor wrote."""
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(length))
        data = f.read()
    header.pop("__metadata__", None)
    kinds = {"F32": np.float32, "I32": np.int32}

    def array(e):
        lo, hi = e["data_offsets"]
        return torch.from_numpy(np.frombuffer(data[lo:hi], kinds[e["dtype"]]).reshape(e["shape"]).copy())

    return {name: array(e) for name, e in header.items()}


# What the matrices get where AdamW takes Muon's place.
PLAIN_RATE = 0.002


def norm(x):
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)


class GPT(torch.nn.Module):
    """Parameters have the names of train.go, with _ for the dot."""

    def __init__(self, c, vocab):
        super().__init__()
        self.c, self.vocab, self.dim = c, vocab, c["Depth"] * c["Aspect"]
        self.heads = self.dim // c["HeadDim"]
        self.kv_heads = self.heads // c["KVShare"]
        for name, shape in self.shapes().items():
            self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(torch.zeros(shape)))
        T, D = c["Context"], c["HeadDim"]
        angle = torch.outer(torch.arange(T).double(), c["RopeBase"] ** (-torch.arange(0, D, 2).double() / D))
        self.register_buffer("cos", angle.cos().float()[None, :, None], persistent=False)  # [1, T, 1, D/2]
        self.register_buffer("sin", angle.sin().float()[None, :, None], persistent=False)
        # What a short layer may see, as what is added to its scores.
        back = torch.arange(T)[:, None] - torch.arange(T)[None, :]
        seen = (back >= 0) & (back < T // c["ShortSpan"])
        self.register_buffer("short", torch.zeros(T, T).masked_fill(~seen, -math.inf), persistent=False)

    def shapes(self):
        c, C, V = self.c, self.dim, self.vocab
        KV, H = self.kv_heads * c["HeadDim"], c["MLPRatio"] * C
        shapes = {"embed": (V, C), "head": (V, C)}
        if c["Scalars"]:
            shapes |= {"resid": (c["Depth"],), "x0": (c["Depth"],)}
        for l in range(c["Depth"]):
            layer = {"q": (C, C), "k": (KV, C), "v": (KV, C), "o": (C, C), "up": (H, C), "down": (C, H)}
            if self.has_values(l):
                layer |= {"values": (V, KV), "gate": (self.kv_heads, c["GateDim"])}
            shapes |= {f"block{l}.{kind}": shape for kind, shape in layer.items()}
        return shapes

    def has_values(self, l):
        return self.c["ValueEmbeds"] and l % 2 == (self.c["Depth"] - 1) % 2

    def is_short(self, l):
        window = self.c["Window"]
        return window[l % len(window)] == "S" and l < self.c["Depth"] - 1

    def get(self, name):
        return getattr(self, name.replace(".", "_"))

    def named(self):
        """The parameters by their names in train.go."""
        return {name: self.get(name) for name in self.shapes()}

    @torch.no_grad()
    def load(self, weights):
        for name, p in self.named().items():
            p.copy_(weights[name])

    @torch.no_grad()
    def init(self, seed):
        """Draws the weights as train.go does, though not the same numbers."""
        rng = torch.Generator().manual_seed(seed)
        for name, p in self.named().items():
            kind = name.split(".")[-1]
            if kind in ("embed", "values", "q", "k", "v", "up"):
                p.normal_(generator=rng).mul_(1.0 if kind == "embed" else self.dim**-0.5)
            elif kind in ("resid", "x0"):
                p.fill_(1.0 if kind == "resid" else self.c["X0Init"])

    def forward(self, ids, targets):
        """The mean code length in nats of targets after ids, both [B, T]."""
        x0 = norm(F.embedding(ids, self.embed))
        x = x0
        for l in range(self.c["Depth"]):
            if self.c["Scalars"]:
                x = self.resid[l] * x + self.x0[l] * x0
            x = x + self.attention(l, norm(x), ids)
            x = x + self.mlp(l, norm(x))
        cap = self.c["Softcap"]
        logits = cap * torch.tanh(F.linear(norm(x), self.head) / cap)
        return F.cross_entropy(logits.view(-1, self.vocab), targets.view(-1))

    def attention(self, l, x, ids):
        B, T, C = x.shape
        D, short = self.c["HeadDim"], self.is_short(l)
        q, k, v = (F.linear(x, self.get(f"block{l}.{w}")).view(B, T, -1, D) for w in "qkv")
        if self.has_values(l):
            gate = 2 * torch.sigmoid(F.linear(x[..., : self.c["GateDim"]], self.get(f"block{l}.gate")))
            values = F.embedding(ids, self.get(f"block{l}.values")).view(B, T, self.kv_heads, D)
            v = v + gate[..., None] * values
        q, k = norm(self.rope(q)), norm(self.rope(k))
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
            attn_mask=self.short if short else None, is_causal=not short, enable_gqa=self.c["KVShare"] > 1,
        )  # fmt: skip
        return F.linear(y.transpose(1, 2).reshape(B, T, C), self.get(f"block{l}.o"))

    def rope(self, x):  # [B, T, n, D]
        a, b = x.chunk(2, dim=3)
        return torch.cat([a * self.cos + b * self.sin, b * self.cos - a * self.sin], 3)

    def mlp(self, l, x):
        return F.linear(F.relu(F.linear(x, self.get(f"block{l}.up"))).square(), self.get(f"block{l}.down"))


POLAR_EXPRESS = [
    (8.15655452, -22.4832929, 15.8787699),
    (4.04292994, -2.80891747, 0.500017845),
    (3.89166780, -2.77248415, 0.506064818),
    (3.28575366, -2.36812949, 0.464490242),
    (2.34654133, -1.70978284, 0.423235512),
]


def frobenius(x):  # [n, out, in] -> [n, 1, 1]
    return x.square().sum((1, 2), keepdim=True).sqrt()


def orthogonalize(g):
    tall = g.shape[1] > g.shape[2]
    x = g.mT if tall else g
    x = x / (frobenius(x) * 1.02 + 1e-6)
    for a, b, c in POLAR_EXPRESS:
        s = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def muon(w, g, velocity, second, lr, momentum, decay, beta):
    """One step for a stack of matrices w [n, out, in]; lr to beta are scalars."""
    rows, columns = w.shape[1:]
    velocity.lerp_(g, 1 - momentum)
    step = orthogonalize(g.lerp(velocity, momentum))
    if second is not None:
        second.lerp_(step.square().mean(2 if rows >= columns else 1, keepdim=True), 1 - beta)
        even = step * (second + 1e-10).rsqrt()
        step = even * (frobenius(step) / (frobenius(even) + 1e-10))
    lr = lr * max(1, rows / columns) ** 0.5
    return w - lr * step - lr * decay * w * (step * w >= 0)


class Optimizer:
    """Muon for the matrices of the blocks, AdamW for all else; plain puts the
    matrices under AdamW too, at that rate."""

    def __init__(self, model, compiled=False, plain=None):
        c, self.dtype = model.c, model.embed.dtype
        width = (128 / model.dim) ** 0.5
        rates = {"embed": c["EmbedLR"] * width, "head": c["HeadLR"] * width, "values": c["ValueLR"] * width,
                 "resid": c["ResidLR"], "x0": c["X0LR"]}  # fmt: skip
        groups, stacks = [], {}
        for name, p in model.named().items():
            kind = name.split(".")[-1]
            rate = rates.get(kind, plain)
            if rate is None:
                stacks.setdefault(p.shape, []).append(p)
                continue
            betas = (c["X0Beta1"] if kind == "x0" else c["Beta1"], c["Beta2"])
            groups.append({"params": [p], "lr": rate, "peak": rate, "betas": betas})
        self.c, self.muon = c, torch.compile(muon, dynamic=False, fullgraph=True) if compiled else muon
        self.adamw = torch.optim.AdamW(groups, eps=1e-10, weight_decay=0, fused=True)
        self.stacks = [(ps, *self.state(ps)) for ps in stacks.values()]

    def state(self, params):
        n, (rows, columns), zeros = len(params), params[0].shape, params[0].new_zeros
        second = zeros((n, rows, 1) if rows >= columns else (n, 1, columns))
        return zeros(n, rows, columns), second if self.c["Normalize"] else None

    @torch.no_grad()
    def step(self, progress):
        c, lr = self.c, learning_rate(self.c, progress)
        # Tensors, so that a compiled step is not compiled again for each value.
        scalars = [torch.tensor(v, dtype=self.dtype) for v in (
            lr * c["MatrixLR"], momentum(c, progress), c["WeightDecay"] * (1 - progress), c["NormalizeBeta"],
        )]  # fmt: skip
        for params, velocity, second in self.stacks:
            new = self.muon(torch.stack(params), torch.stack([p.grad for p in params]), velocity, second, *scalars)
            torch._foreach_copy_(params, new.unbind(0))
        for group in self.adamw.param_groups:
            group["lr"] = lr * group["peak"]
        self.adamw.step()


def learning_rate(c, progress):
    if progress < c["Warmup"]:
        return progress / c["Warmup"]
    if progress > 1 - c["Warmdown"]:
        return c["FinalLR"] + (1 - c["FinalLR"]) * (1 - progress) / c["Warmdown"]
    return 1.0


def momentum(c, progress):
    if progress < c["MomentumWarmup"]:
        return c["MomentumStart"] + (c["Momentum"] - c["MomentumStart"]) * progress / c["MomentumWarmup"]
    return c["Momentum"]
