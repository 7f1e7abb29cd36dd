"""Repeats a run of trainer/twin_test.go in PyTorch: `go run ./bench/peers twin`
starts it as

    python twin.py CONFIG.json

It starts from the exported weights, takes the exported batches, and writes the
record that the test compares with. On standard output it says how far the two
sides, and PyTorch in float64, are apart.
"""

import json
import sys

import numpy as np
import torch

import model


def checksum(x):
    """What stands for a tensor in a record; the same as in twin_test.go."""
    x = x.detach().flatten().double().numpy()
    signs = np.where(np.arange(len(x), dtype=np.uint32) * np.uint32(2654435761) < np.uint32(1 << 31), 1.0, -1.0)
    return {"size": len(x), "norm": float(np.sqrt((x * x).sum())), "mean": float(x.mean()), "probe": float(x @ signs)}


def train(config, dtype):
    """The record of a run, and the gradients of its first step."""
    c, ours = config["constants"], json.load(open(f"{config['dir']}/twin.json"))
    steps = len(ours["losses"])
    weights, batches = (model.read_safetensors(f"{config['dir']}/{name}.safetensors") for name in ("weights", "batches"))
    gpt = model.GPT(c, vocab=weights["embed"].shape[0]).to(dtype)
    gpt.load(weights)
    optimizer = model.Optimizer(gpt, plain=model.PLAIN_RATE if config["optimizer"] == "adamw" else None)
    start = {name: p.detach().clone() for name, p in gpt.named().items()}
    moved = lambda: {name: checksum(p - start[name]) for name, p in gpt.named().items()}
    record = {"recorder": f"PyTorch {torch.__version__}, {dtype}", "moved_in": ours["moved_in"],
              "constants": c, "losses": []}
    for step in range(steps):
        gpt.zero_grad()
        loss = 0
        for i in range(c["Accumulate"]):
            x, y = (batches[f"{k}{step * c['Accumulate'] + i}"].long() for k in "xy")
            part = gpt(x, y) / c["Accumulate"]
            part.backward()
            loss += part.item()
        record["losses"].append(loss)
        if step == 0:
            gradients = {name: p.grad.clone() for name, p in gpt.named().items()}
            record["gradients"] = {name: checksum(g) for name, g in gradients.items()}
        optimizer.step(step / steps)
        if step + 1 == ours["moved_in"]:
            record["moved"] = moved()
    record["end"] = moved()
    return record, gradients


def apart(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def main(path):
    config = json.load(open(path))
    torch.set_num_threads(config["threads"])
    record, gradients = train(config, torch.float32)
    exact, exact_gradients = train(config, torch.float64)
    ours = json.load(open(f"{config['dir']}/twin.json"))
    ours_gradients = model.read_safetensors(f"{config['dir']}/gradients.safetensors")

    print(f"\n### {config['name']}\n\n| gradient of the first step | ours and PyTorch | ours and float64 | PyTorch and float64 |\n|---|---|---|---|")
    for name, g in gradients.items():
        e = exact_gradients[name]
        print(f"| {name} | {apart(ours_gradients[name], g):.1e} | {apart(ours_gradients[name], e):.1e} | {apart(g, e):.1e} |")
    print("\n| step | loss, ours | PyTorch | apart | PyTorch and float64 |\n|---|---|---|---|---|")
    for i, (a, b, e) in enumerate(zip(ours["losses"], record["losses"], exact["losses"])):
        print(f"| {i + 1} | {a:.6f} | {b:.6f} | {abs(a / b - 1):.1e} | {abs(b / e - 1):.1e} |")
    with open(config["out"], "w") as f:
        json.dump(record, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
