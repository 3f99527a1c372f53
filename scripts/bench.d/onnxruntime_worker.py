"""ONNX Runtime on the graph that PyTorch exported, its inputs and outputs bound once."""
import numpy
import onnxruntime
import worker

VERSION = f"ONNX Runtime {onnxruntime.__version__}"


def variants(row):
    return ["session"] if row["kind"] == "infer" else []


def build(row, variant, data):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = data.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Threads that spin after a call would take the other contestants' time.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(row["onnx"], options, providers=["CPUExecutionProvider"])
    x, result = numpy.ascontiguousarray(data.arrays["x"]), numpy.zeros(row["result"], numpy.float32)
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    binding.bind_output(session.get_outputs()[0].name, "cpu", 0, numpy.float32, result.shape, result.ctypes.data)
    return lambda: session.run_with_iobinding(binding), lambda: {"result": result}


if __name__ == "__main__":
    import onnxruntime_worker
    worker.serve(onnxruntime_worker)
