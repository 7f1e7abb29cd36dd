"""A small training script: model, optimizer, schedule."""

import math
import time

import torch
import torch.nn.functional as F

DEPTH = 8
ASPECT_RATIO = 64  # width per layer
HEAD_DIM = 128
MATRIX_LR = 0.04  # Muon
EMBED_LR = 0.6  # Adam
WEIGHT_DECAY = 0.2
WARMUP = 0.0
WARMDOWN = 0.5
WINDOW_PATTERN = "SSSL"


def norm(x):
    return F.rms_norm(x, (x.size(-1),))


class Attention(torch.nn.Module):
    def __init__(self, width, layer):
        super().__init__()
        self.heads = width // HEAD_DIM
        self.q = torch.nn.Linear(width, width, bias=False)
        self.k = torch.nn.Linear(width, width, bias=False)
        self.v = torch.nn.Linear(width, width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.short = WINDOW_PATTERN[layer % len(WINDOW_PATTERN)] == "S"

    def forward(self, x, cos_sin):
        B, T, C = x.size()
        q = self.q(x).view(B, T, self.heads, HEAD_DIM)
        k = self.k(x).view(B, T, self.heads, HEAD_DIM)
        v = self.v(x).view(B, T, self.heads, HEAD_DIM)
        q, k = rotate(q, cos_sin), rotate(k, cos_sin)
        q, k = norm(q), norm(k)
        if self.short:
            y = windowed(q, k, v, T // 4)
        else:
            y = windowed(q, k, v, T)
        return self.out(y.reshape(B, T, C))


class MLP(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.up = torch.nn.Linear(width, 4 * width, bias=False)
        self.down = torch.nn.Linear(4 * width, width, bias=False)

    def forward(self, x):
        x = self.up(x)
        x = F.relu(x).square()
        return self.down(x)


def schedule(progress):
    if progress < WARMUP:
        return progress / WARMUP
    if progress < 1.0 - WARMDOWN:
        return 1.0
    # The decay is linear.
    return max(0.0, (1.0 - progress) / WARMDOWN)


def train(model, optimizer, loader, budget):
    began = time.time()
    step = 0
    while True:
        progress = min(1.0, (time.time() - began) / budget)
        if progress >= 1.0:
            break
        x, y = next(loader)
        loss = model(x, y)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * schedule(progress)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(loss.item()):
            raise RuntimeError(f"loss is {loss.item()} at step {step}")
        step += 1
    return step
