"""OpenVINO on the graph that PyTorch exported, in f32."""
import numpy
import openvino
import worker

VERSION = f"OpenVINO {openvino.__version__.split('-')[0]}"
core = openvino.Core()


def variants(row):
    return ["compiled"] if row["kind"] == "infer" else []


def build(row, variant, data):
    compiled = core.compile_model(row["onnx"], "CPU", {
        "INFERENCE_NUM_THREADS": data.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    x = numpy.ascontiguousarray(data.arrays["x"])
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))

    def outcome():
        return {"result": request.get_output_tensor(0).data.copy(), "x": x}
    return lambda: request.infer(share_outputs=True), outcome


if __name__ == "__main__":
    import openvino_worker
    worker.serve(openvino_worker)
