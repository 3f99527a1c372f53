"""PyTorch: eagerly; tuned (channels last, time first, fused optimizers; frozen and fused graphs for inference); compiled; the
whole step compiled. `export NET N FILE` as arguments writes the graph that ONNX Runtime and OpenVINO take."""
import os
import sys
import torch
from torch import nn
from torch.nn import functional
import torch_nets
import worker

VERSION = f"PyTorch {torch.__version__.split('+')[0]}"
torch.set_num_threads(int(os.environ.get("BENCH_THREADS", "1")))


def variants(row):
    if row["kind"] == "infer":
        return ["eager", "jit"] + ["compile"] * row["compile"]
    return ["eager", "tuned"] + ["compile", "compiled step"] * row["compile"] if row["kind"] == "train" else []


def make(row, data, tuned):
    net = torch_nets.NETS[row["net"]]()
    torch_nets.set_weights(net, row["modules"], data.weights)
    x = torch.from_numpy(data.arrays["x"])
    if tuned and x.dim() == 4:
        net, x = net.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    return net, x


def inference(row, variant, data):
    net, x = make(row, data, variant != "eager")
    net = (nn.Sequential(net, nn.Softmax(-1)) if row["softmax"] else net).eval()
    with torch.inference_mode(variant != "compile"), torch.no_grad():
        if variant == "jit":
            net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, x)))
        if variant == "compile":
            net = torch.compile(net, dynamic=False, options={"freezing": True})
    result = []

    def call():
        with torch.inference_mode(variant != "compile"), torch.no_grad():
            result[:] = [net(x)]
    return call, lambda: {"result": result[0].numpy()}


def training(row, variant, data):
    net, x = make(row, data, variant != "eager")
    y = torch.from_numpy(data.arrays["y"]).long()
    fused = {"fused": True} if variant in ("tuned", "compile") else {}
    weights = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if row["optimizer"] == "adam":
        optimizer = torch.optim.Adam(weights, lr=row["lr"], **fused)
    else:
        optimizer = torch.optim.SGD(weights, lr=row["lr"], momentum=row["momentum"], weight_decay=row["decay"], **fused)

    def step(x, y):
        loss = functional.cross_entropy(forward(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()
    forward = torch.compile(net, dynamic=False) if variant == "compile" else net
    whole = torch.compile(step, dynamic=False) if variant == "compiled step" else step
    result = []

    def call():
        result[:] = [whole(x, y)]
        return result[0].item()
    return call, lambda: {"result": result[0].numpy(), **torch_nets.get_weights(net, row["modules"])}


def build(row, variant, data):
    torch.manual_seed(0)
    torch._dynamo.reset()
    return (inference if row["kind"] == "infer" else training)(row, variant, data)


def export(row, data, path):
    net, x = make(row, data, False)
    net = nn.Sequential(net, nn.Softmax(-1)) if row["softmax"] else net
    torch.onnx.export(net.eval(), (x,), path, input_names=["x"], output_names=["z"], dynamo=False, opset_version=17)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        import json
        request = json.loads(sys.argv[1])
        export(request["row"], worker.Data(request), request["row"]["onnx"])
    else:
        import torch_worker
        worker.serve(torch_worker)
