"""The same step in PyTorch, on the same GPU: torch_steps.py LABEL OURS prints a row; OURS are our microseconds.

Three contestants: eager; torch.compile in the mode that captures CUDA graphs; and the whole step, optimizer and all, compiled
and captured as one graph. One step is forward, backward and the optimizer's update, on data that lies on the GPU; what counts
is the fastest of several batches of steps. With DRY in the environment it runs on the processor, at small sizes: only to see
that it runs.
"""
import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def conv_block(into, out):
    return nn.Sequential(nn.Conv2d(into, out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))


class Basic(nn.Module):
    def __init__(self, into, out, stride):
        super().__init__()
        self.first, self.one = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.second, self.two = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.short = None
        if into != out or stride != 1:
            self.short = nn.Sequential(nn.Conv2d(into, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.two(self.second(F.relu(self.one(self.first(x)))))
        return F.relu(y + (x if self.short is None else self.short(x)))


def resnet18():
    blocks, into = [], 64
    for out, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        blocks.append(Basic(into, out, stride))
        into = out
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.qkv, self.out = nn.LayerNorm(256), nn.Linear(256, 768), nn.Linear(256, 256)
        self.after = nn.Sequential(nn.LayerNorm(256), nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256))

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, t, 3, 4, 64).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, 256)
        x = x + self.out(y)
        return x + self.after(x)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers, self.head = nn.Sequential(*[Layer() for _ in range(4)]), nn.Linear(256, 10)

    def forward(self, x):
        return self.head(self.layers(x).mean(1))


def dense(*sizes):
    layers = []
    for into, out in zip(sizes, sizes[1:]):
        layers += [nn.Linear(into, out), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *layers[:-1])


def cnn():
    return nn.Sequential(conv_block(1, 16), conv_block(16, 32), dense(1568, 128, 10))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), dense(400, 120, 84, 10))


# label: net, input's shape, classes, momentum, the optimizer's class
NETS = {
    "mlp128": (lambda: dense(784, 128, 10), (64, 784), 10, 0.0),
    "mlp512": (lambda: dense(784, 512, 512, 10), (128, 784), 10, 0.0),
    "cnn": (cnn, (64, 1, 28, 28), 10, 0.0),
    "lenet": (lenet, (64, 1, 28, 28), 10, 0.9),
    "tfm": (Encoder, (8, 128, 256), 10, None),
    "resnet18": (resnet18, (64, 3, 224, 224), 1000, 0.9),
}


# label: how many times as fast we want to be, of the best contestant
WANTED = {"mlp128": 3, "mlp512": 3, "cnn": 2.5, "lenet": 2.5, "tfm": 1.5, "resnet18.bf16": 0.7, "resnet18.tf32": 0.7,
          "product": 0.9, "product.tf32": 0.8, "product.bf16": 0.75}

DRY = "DRY" in os.environ
DEVICE = "cpu" if DRY else "cuda"
WARM, BATCHES, BATCH_SECONDS = (1, 1, 0.0) if DRY else (5, 5, 0.1)


def wait():
    if not DRY:
        torch.cuda.synchronize()


def fastest(call):
    for _ in range(WARM):
        call()
    wait()
    start = time.perf_counter()
    call()
    wait()
    repeat = max(1, min(2000, int(BATCH_SECONDS / (time.perf_counter() - start))))
    best = float("inf")
    for _ in range(BATCHES):
        start = time.perf_counter()
        for _ in range(repeat):
            call()
        wait()
        best = min(best, (time.perf_counter() - start) / repeat)
    return 1e6 * best


def net_and_loss(name, precision):
    make, shape, classes, momentum = NETS[name]
    if DRY:
        shape = (4, *shape[1:])
    net = make().to(DEVICE)
    x, y = torch.rand(shape, device=DEVICE), torch.randint(0, classes, shape[:1], device=DEVICE)
    if momentum is None:
        optimizer = torch.optim.Adam(net.parameters(), 1e-3, capturable=not DRY)
    else:
        optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=momentum)

    def forward():
        with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bf16"):
            return F.cross_entropy(net(x), y)

    return optimizer, forward


def step_of(optimizer, forward):
    def step():
        optimizer.zero_grad()
        forward().backward()
        optimizer.step()

    return step


def eager(name, precision):
    return step_of(*net_and_loss(name, precision))


def compiled(name, precision):
    optimizer, forward = net_and_loss(name, precision)
    return step_of(optimizer, torch.compile(forward, mode="reduce-overhead"))


def captured(name, precision):
    optimizer, forward = net_and_loss(name, precision)
    step = step_of(optimizer, torch.compile(forward))
    if DRY:
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def product(name, precision):
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = 64 if DRY else 4096
    a, b = (torch.rand(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    return lambda: a @ b


def main():
    label, ours = sys.argv[1], float(sys.argv[2])
    if not DRY and not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU here")
    name, _, precision = label.partition(".")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    theirs, told = [], []
    for contestant in (product,) if name == "product" else (eager, compiled, captured):
        try:
            theirs.append(fastest(contestant(name, precision)))
            told.append(f"{contestant.__name__} {theirs[-1]:.1f}")
        except Exception as error:  # one contestant's fault is told, and the others go on
            told.append(f"{contestant.__name__}: {type(error).__name__}: {error}".replace("|", "/").replace("\n", " ")[:120])
    if not theirs:
        sys.exit("; ".join(told))
    wanted = f", wanted {WANTED[label]}x" if label in WANTED else ""
    print(f"| bench | {label} | {ours:.1f} us | PyTorch {', '.join(told)} us: {min(theirs) / ours:.2f}x{wanted} |")


main()
