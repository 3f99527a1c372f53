"""Training steps of the marks' nets in PyTorch, eagerly, on one thread: a name on standard input, seconds of a step on standard
output (median, fastest of a burst)."""
import statistics
import sys
import time
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
ROWS = 64


def mlp():
    net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    return net, torch.optim.SGD(net.parameters(), lr=0.05), torch.rand(ROWS, 784)


def lenet():
    net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
                        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
                        nn.Linear(84, 10))
    return net, torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9), torch.rand(ROWS, 1, 28, 28)


def step(net, optimizer, x, y):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


print(f"PyTorch {torch.__version__.split('+')[0]}", flush=True)
nets = {}
for line in sys.stdin:
    name = line.strip()
    if name not in nets:
        nets[name] = (*globals()[name](), torch.randint(0, 10, (ROWS,)))
    step(*nets[name])
    seconds, start = [], time.perf_counter()
    while len(seconds) < 10 or time.perf_counter() - start < 0.4:
        before = time.perf_counter()
        step(*nets[name])
        seconds.append(time.perf_counter() - before)
    print(statistics.median(seconds), min(seconds), flush=True)
