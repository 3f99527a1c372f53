"""Writes named arrays of whole numbers as safetensors, the plainest of the formats that nnc reads."""
import array
import json


def write(path, tensors):
    """tensors: name -> (shape, flat list of i32)"""
    head, at = {}, 0
    for name, (shape, numbers) in tensors.items():
        size = 4 * len(numbers)
        head[name] = {"dtype": "I32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, numbers in tensors.values():
            array.array("i", numbers).tofile(file)
