"""The PyTorch twin of the GPU benchmark: main.go starts it as

    python step.py CONFIG.json

It trains the model of trainer/train.go (../peers/model.py, whose constants and
formulas it shares) as a PyTorch program would on this GPU: bfloat16 by autocast
with tables in bfloat16, FlexAttention or FlashAttention 3, the model and Muon
compiled, fused AdamW. Each number that it reads from standard input is a number
of steps to take; it answers each with one line on file descriptor 3.

Letters: B batch, T time, NH query heads, NKV key heads, D width of a head.
"""

import json
import os
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import model


def flash3():
    """FlashAttention 3's function for [B, T, NH, D], or None where there is none."""
    try:
        from flash_attn_interface import flash_attn_func

        return flash_attn_func
    except ImportError:
        return None


class GPT(model.GPT):
    """model.GPT with the attention that is fastest here."""

    def __init__(self, c, vocab, attention, device):
        super().__init__(c, vocab)
        self.kind, self.flash, self.masks = attention, flash3(), {}
        if attention == "flash3" and self.flash is None:
            raise SystemExit("flash_attn_interface is not installed: measure with flex alone")
        T = c["Context"]
        # train.go's short span counts the token itself.
        for short, span in ((False, T), (True, T // c["ShortSpan"])):
            if attention == "sdpa":
                continue
            if attention == "flex":
                see = lambda b, h, q, k, span=span: (q >= k) & (q - k < span)
                self.masks[short] = create_block_mask(see, None, None, T, T, device=device)
            else:
                self.masks[short] = (span - 1, 0)

    def attention(self, l, x, ids):
        if self.kind == "sdpa":  # to try this script out where FlexAttention has no backward
            return super().attention(l, x, ids)
        B, T, C = x.shape
        D = self.c["HeadDim"]
        q, k, v = (F.linear(x, self.get(f"block{l}.{w}")).view(B, T, -1, D) for w in "qkv")
        if self.has_values(l):
            gate = 2 * torch.sigmoid(F.linear(x[..., : self.c["GateDim"]], self.get(f"block{l}.gate")))
            values = F.embedding(ids, self.get(f"block{l}.values")).view(B, T, self.kv_heads, D)
            v = v + gate[..., None] * values
        q, k = (model.norm(self.rope(w)).to(v.dtype) for w in (q, k))
        mask = self.masks[self.is_short(l)]
        if self.kind == "flex":
            y = flex_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), block_mask=mask,
                               enable_gqa=self.c["KVShare"] > 1).transpose(1, 2)  # fmt: skip
        else:
            y = self.flash(q, k, v, causal=True, window_size=mask)
        return F.linear(y.reshape(B, T, C), self.get(f"block{l}.o"))


def half(gpt):
    """Tables and rotations in bfloat16, as train.py has them; matrices stay float32."""
    for name, p in gpt.named().items():
        if name == "embed" or name.endswith(".values"):
            p.data = p.data.bfloat16()
    gpt.cos, gpt.sin = gpt.cos.bfloat16(), gpt.sin.bfloat16()


def orthogonalize(g):
    """model.orthogonalize with its products in bfloat16."""
    return ORTHOGONALIZE(g.bfloat16()).float()


ORTHOGONALIZE, model.orthogonalize = model.orthogonalize, orthogonalize


def main(path):
    config = json.load(open(path))
    c, vocab, device = config["constants"], config["vocab"], config["device"]
    torch.set_float32_matmul_precision("high")
    gpt = GPT(c, vocab, config["attention"], device)
    gpt.init(seed=1)
    gpt.to(device)
    half(gpt)
    compiled = config["compile"]
    with torch.device(device):
        optimizer = model.Optimizer(gpt, compiled)
    loss = torch.compile(gpt, dynamic=False, fullgraph=True) if compiled else gpt
    text = torch.randint(1, vocab, (c["BatchSize"], c["Context"] + 1), device=device)
    rng, done, accumulate = torch.Generator(device=device).manual_seed(1), 0, c["Accumulate"]
    os.write(3, b"ready\n")
    for line in sys.stdin:
        for _ in range(int(line)):
            for p in gpt.parameters():
                p.grad = None
            for _ in range(accumulate):
                text.random_(1, vocab, generator=rng)
                with torch.autocast(device, torch.bfloat16):
                    value = loss(text[:, :-1].contiguous(), text[:, 1:].contiguous())
                (value / accumulate).backward()
            with torch.device(device):
                optimizer.step(done / config["steps"])
            value.item()  # as the harness does, for the log
            done += 1
        if device == "cuda":
            torch.cuda.synchronize()
        os.write(3, b"done\n")
    if device == "cuda":
        print("peak MiB", torch.cuda.max_memory_allocated() >> 20)


if __name__ == "__main__":
    main(sys.argv[1])
