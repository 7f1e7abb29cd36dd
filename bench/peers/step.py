"""Trains model.py under the clock of the driver: main.go starts it as

    python step.py CONFIG.json

with the constants of train.go, the vocabulary, the threads, "compile" true or
false. Each number that it reads from standard input is a number of steps to
take; it answers each with one line on file descriptor 3 when they are done.
"""

import json
import os
import sys

import torch

import model


def main(path):
    config = json.load(open(path))
    c, vocab = config["constants"], config["vocab"]
    torch.set_num_threads(config["threads"])
    torch.set_float32_matmul_precision("highest")
    gpt = model.GPT(c, vocab)
    gpt.init(seed=1)
    plain = model.PLAIN_RATE if config["optimizer"] == "adamw" else None
    optimizer = model.Optimizer(gpt, config["compile"], plain)
    loss = torch.compile(gpt, dynamic=False, fullgraph=True) if config["compile"] else gpt
    rng, done, accumulate = torch.Generator().manual_seed(1), 0, c["Accumulate"]
    os.write(3, b"ready\n")
    for line in sys.stdin:
        for _ in range(int(line)):
            for p in gpt.parameters():
                p.grad = None
            for _ in range(accumulate):
                text = torch.randint(vocab, (c["BatchSize"], c["Context"] + 1), generator=rng)
                value = loss(text[:, :-1].contiguous(), text[:, 1:].contiguous())
                (value / accumulate).backward()
            optimizer.step(done / config["steps"])
            value.item()  # as the harness does, for the log
            done += 1
        os.write(3, b"done\n")


if __name__ == "__main__":
    main(sys.argv[1])
