"""Fixtures for core/tests/face_parity.rs: the face nets run by their own runtimes on real faces.

face-api's and human's nets run in TensorFlow.js (face_tfjs.mjs), fer in Keras, facex in LiteRT. Inputs are cut from the
demonstration pictures of @vladmandic/face-api (MIT) and stored as the 8-bit tensors that both sides read, so that no picture decoder
or scaler takes part in the comparison.

facex's file holds 8-bit weights and asks for "hybrid" kernels, which also round every activation to 8 bits. LiteRT's two sets of
such kernels differ from each other by up to a quarter in the probabilities, so they define no reference. Here the same graph is
given its weights as float (`dequantized`) and run by LiteRT's float kernels.

Needs numpy, pillow, h5py, safetensors, keras with tensorflow, ai-edge-litert, and node.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np

# Picture and the square (left, top, side) of a face in it.
FACES = {"smile": ("sample6.jpg", (615, 320, 330)), "calm": ("sample2.jpg", (1420, 130, 290))}
GROUP = "sample5.jpg"
# Rows of the SSD detector that are stored: the ones with the highest scores.
SSD_ROWS = 128


def inputs(demo: pathlib.Path) -> dict[tuple[str, str], np.ndarray]:
    """8-bit inputs by (net, name)."""
    from PIL import Image

    out: dict[tuple[str, str], np.ndarray] = {}
    for name, (file, (left, top, side)) in FACES.items():
        face = Image.open(demo / file).convert("RGB").crop((left, top, left + side, top + side))
        rgb = np.asarray(face.resize((112, 112), Image.BILINEAR))
        out["face_api", name] = out["landmarks", name] = rgb
        gray = face.convert("L")
        out["human", name] = out["fer", name] = np.asarray(gray.resize((64, 64), Image.BILINEAR))[..., None]
        out["facex", name] = np.asarray(gray.resize((200, 200), Image.BILINEAR))[..., None]
    picture = Image.open(demo / GROUP).convert("RGB")
    picture.thumbnail((256, 256), Image.BILINEAR)
    square = np.zeros((256, 256, 3), np.uint8)
    square[: picture.height, : picture.width] = np.asarray(picture)
    out["blazeface", "group"] = out["ssd_detector", "group"] = square
    return out


def prepared(net: str, value: np.ndarray) -> np.ndarray:
    """The float tensor that the net's own runtime is given; core/tests/face_parity.rs does the same."""
    x = value.astype(np.float32)
    if net in ("human", "fer", "blazeface"):
        x = x / np.float32(127.5) - np.float32(1.0)
    elif net == "facex":
        x = np.repeat(x / np.float32(255.0), 3, axis=2)
    elif net == "ssd_detector":
        x = x.repeat(2, axis=0).repeat(2, axis=1)
    return np.ascontiguousarray(x[None])


def dequantized(path: pathlib.Path) -> bytes:
    """The TFLite model with its 8-bit weights as floats and without its DEQUANTIZE operations."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (graph,) = model.subgraphs
    codes = [max(code.deprecatedBuiltinCode, code.builtinCode) for code in model.operatorCodes]
    depthwise = {op.inputs[1] for op in graph.operators if codes[op.opcodeIndex] == schema.BuiltinOperator.DEPTHWISE_CONV_2D}
    renamed = {}
    for op in graph.operators:
        if codes[op.opcodeIndex] == schema.BuiltinOperator.DEQUANTIZE:
            renamed[op.outputs[0]] = op.inputs[0]
    for index, tensor in enumerate(graph.tensors):
        if tensor.type != schema.TensorType.UINT8:
            continue
        data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
        zero = int(tensor.quantization.zeroPoint[0])
        # Dense and full convolution weights are int8 under the name of uint8 (the runtime reads them so), with zero point 0.
        is_depthwise = index in depthwise or any(renamed.get(i) == index for i in depthwise)
        values = data.astype(np.float32) - zero if is_depthwise else data.view(np.int8).astype(np.float32)
        scaled = values * np.float32(tensor.quantization.scale[0])
        model.buffers[tensor.buffer].data = np.frombuffer(scaled.astype("<f4").tobytes(), np.uint8)
        tensor.type, tensor.quantization = schema.TensorType.FLOAT32, None
    graph.operators = [op for op in graph.operators if codes[op.opcodeIndex] != schema.BuiltinOperator.DEQUANTIZE]
    for op in graph.operators:
        op.inputs = [renamed.get(i, i) for i in op.inputs]
    builder = flatbuffers.Builder(1 << 24)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def run_facex(path: pathlib.Path, x: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=dequantized(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def run_fer(path: pathlib.Path, x: np.ndarray) -> np.ndarray:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    return np.asarray(keras.models.load_model(path, compile=False)(x))


def main() -> None:
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("face-api", "human-models", "fer", "facex", "out"):
        parser.add_argument(f"--{flag}", type=pathlib.Path, required=True, help="folder with the unpacked package")
    args = parser.parse_args()
    face_api, human = args.face_api / "package", args.human_models / "package"
    given = inputs(face_api / "demo")
    results: dict[tuple[str, str, int], np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        listed = []
        for (net, name), value in given.items():
            x = prepared(net, value)
            file = f"{net}.{name}.in.bin"
            x.tofile(work / file)
            listed.append({"net": net, "name": name, "shape": list(x.shape), "file": file})
            if net == "fer":
                results[net, name, 0] = run_fer(args.fer / "fer/data/emotion_model.hdf5", x)
            if net == "facex":
                results[net, name, 0] = run_facex(args.facex / "facex/assets/model_optimized.tflite", x)
        (work / "inputs.json").write_text(json.dumps(listed))
        script = pathlib.Path(__file__).with_name("face_tfjs.mjs")
        subprocess.run(["node", str(script), str(face_api), str(human), folder], check=True)
        for entry in json.loads((work / "outputs.json").read_text()):
            value = np.fromfile(work / entry["file"], np.float32).reshape(entry["shape"])
            results[entry["net"], entry["name"], entry["output"]] = value

    detectors: dict[str, np.ndarray] = {}
    faces: dict[str, np.ndarray] = {}
    for (net, name), value in given.items():
        shared = {"landmarks": "face_api", "human": "fer", "ssd_detector": "blazeface"}
        if net not in shared:
            (detectors if net == "blazeface" else faces)[f"{net}.{name}.input"] = value
    for (net, name, number), value in results.items():
        if net == "ssd_detector":
            rows = np.sort(np.argsort(-results[net, name, 1].reshape(-1), kind="stable")[:SSD_ROWS])
            detectors[f"{net}.{name}.rows"] = rows.astype(np.int32)
            value = value.reshape(len(results[net, name, 1].reshape(-1)), -1)[rows]
        group = detectors if net in ("blazeface", "ssd_detector") else faces
        group[f"{net}.{name}.output{number}"] = np.ascontiguousarray(value, np.float32)
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(faces, str(args.out / "parity_faces.safetensors"))
    save_file(detectors, str(args.out / "parity_detectors.safetensors"))
    for key, value in sorted(faces.items()):
        if "output" in key and value.size <= 7:
            print(key, np.round(value.reshape(-1), 4))


if __name__ == "__main__":
    main()
