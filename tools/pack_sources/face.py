"""Face nets -> one weight file for the engine in `core/src/nn`.

Reads the published files as they are (face-api weight manifests, a TensorFlow.js graph model, a Keras HDF5 model, a TFLite
model) and writes `face.safetensors`: every net as a list of operations in the file's metadata (key `nets`, JSON) and its weights
as tensors. Weights that the source stores as 8-bit integers stay 8-bit; `quantized` in the JSON gives `value = scale * q + min`.

Operations work on NHWC tensors; `core/src/nn/graph.rs` documents each of them. Needs numpy, h5py and safetensors.
"""

from __future__ import annotations

import base64
import json
import pathlib
import struct

import numpy as np

FORMAT_VERSION = 1

# What each expression net answers, in the order of its outputs, in the words of FACE7.
FACE_API_LABELS = ["neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"]  # FaceExpressions.ts
FER_LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]  # fer.py, _get_labels
HUMAN_LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]  # human, emotion model
FACEX_LABELS = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]  # facex/core.py, category


class Pack:
    """Collects the tensors and the nets of the file being written."""

    def __init__(self) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self.quantized: dict[str, dict] = {}
        self.nets: dict[str, dict] = {}

    def write(self, path: pathlib.Path) -> None:
        from safetensors.numpy import save_file

        nets = {"version": FORMAT_VERSION, "quantized": self.quantized, "nets": self.nets}
        tensors = {name: np.ascontiguousarray(value) for name, value in sorted(self.tensors.items())}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, str(path), metadata={"nets": json.dumps(nets, separators=(",", ":"))})


class Net:
    """Builds one net, operation by operation."""

    def __init__(self, pack: Pack, name: str, input_shape: list[int | None], **facts) -> None:
        self.pack = pack
        self.name = name
        self.ops: list[dict] = []
        self.facts = facts
        self.input_shape = input_shape
        self.count = 0

    def weight(self, name: str, value: np.ndarray, quantized: tuple[float, float] | None = None) -> str:
        """Stores a weight; `quantized` is (scale, min) of an 8-bit one."""
        full = f"{self.name}.{name}"
        assert full not in self.pack.tensors, full
        if quantized is None:
            self.pack.tensors[full] = value.astype(np.float32)
        else:
            assert value.dtype == np.uint8
            self.pack.tensors[full] = value
            self.pack.quantized[full] = {"scale": float(quantized[0]), "min": float(quantized[1])}
        return full

    def op(self, kind: str, x, y: str | None = None, **fields) -> str:
        if y is None:
            self.count += 1
            y = f"t{self.count}"
        entry = {"op": kind, "x": x if isinstance(x, list) else [x], "y": y}
        entry.update({key: value for key, value in fields.items() if value is not None})
        self.ops.append(entry)
        return y

    def finish(self, outputs: list[str]) -> None:
        self.pack.nets[self.name] = {"input": self.input_shape, "outputs": outputs, "ops": self.ops, **self.facts}


# --- face-api: weight manifests, the topology is in the TypeScript sources ------------------------------------------------


class Manifest:
    """The named weights of one face-api model."""

    def __init__(self, model_dir: pathlib.Path, name: str) -> None:
        groups = json.loads((model_dir / f"{name}-weights_manifest.json").read_text())
        self.entries: dict[str, tuple[np.ndarray, tuple[float, float] | None]] = {}
        for group in groups:
            data = b"".join((model_dir / part).read_bytes() for part in group["paths"])
            offset = 0
            for entry in group["weights"]:
                size = int(np.prod(entry["shape"], dtype=np.int64))
                quantization = entry.get("quantization")
                if quantization:
                    assert quantization["dtype"] == "uint8", entry
                    dtype, affine = np.uint8, (quantization["scale"], quantization["min"])
                else:
                    dtype, affine = {"float32": np.float32, "int32": np.int32}[entry["dtype"]], None
                end = offset + size * np.dtype(dtype).itemsize
                self.entries[entry["name"]] = (np.frombuffer(data[offset:end], dtype).reshape(entry["shape"]), affine)
                offset = end
            assert offset == len(data), f"{name}: {len(data) - offset} bytes of weights are not described"

    def value(self, name: str) -> np.ndarray:
        raw, affine = self.entries[name]
        if affine is None:
            return raw.astype(np.float32)
        return (raw.astype(np.float32) * np.float32(affine[0]) + np.float32(affine[1])).astype(np.float32)

    def put(self, net: Net, name: str, shape: list[int] | None = None) -> str:
        raw, affine = self.entries[name]
        return net.weight(name.replace("/", "."), raw if shape is None else raw.reshape(shape), affine)


def depthwise_shape(weights: np.ndarray) -> list[int]:
    height, width, channels, multiplier = weights.shape
    assert multiplier == 1, "only depthwise convolutions with multiplier 1 occur"
    return [height, width, channels]


def separable(net: Net, manifest: Manifest, x: str, prefix: str, stride: int, pad, act: str | None) -> str:
    depthwise = f"{prefix}/depthwise_filter"
    shape = depthwise_shape(manifest.entries[depthwise][0])
    y = net.op("depthwise", x, w=manifest.put(net, depthwise, shape), stride=[stride, stride], pad=pad)
    return net.op(
        "conv2d", y, w=manifest.put(net, f"{prefix}/pointwise_filter"), b=manifest.put(net, f"{prefix}/bias"),
        stride=[1, 1], pad="valid", act=act,
    )


def dense_block(net: Net, manifest: Manifest, x: str, prefix: str, first: bool) -> str:
    """denseBlock4 of faceFeatureExtractor/denseBlock.ts."""
    if first:
        conv = f"{prefix}/conv0"
        out = net.op(
            "conv2d", x, w=manifest.put(net, f"{conv}/filters"), b=manifest.put(net, f"{conv}/bias"),
            stride=[2, 2], pad="same", act="relu",
        )
    else:
        out = separable(net, manifest, x, f"{prefix}/conv0", 2, "same", "relu")
    outs = [out]
    carried = out
    for i in (1, 2, 3):
        outs.append(separable(net, manifest, carried, f"{prefix}/conv{i}", 1, "same", None))
        carried = net.op("add", list(outs), act="relu")
    return carried


def feature_net(pack: Pack, model_dir: pathlib.Path, model: str, name: str, softmax: bool, **facts) -> None:
    """FaceExpressionNet.ts and FaceLandmark68Net.ts: the same extractor with another last layer."""
    manifest = Manifest(model_dir, model)
    net = Net(pack, name, [112, 112, 3], **facts)
    mean = np.array([122.782, 117.001, 104.298], np.float32)
    x = net.op("affine", "input", scale=[1 / 255.0] * 3, shift=(-mean / 255.0).tolist())
    for i in range(4):
        x = dense_block(net, manifest, x, f"dense{i}", i == 0)
    x = net.op("avg_pool", x, size=[7, 7], stride=[2, 2], pad="valid")
    x = net.op("reshape", x, shape=[-1])
    x = net.op("dense", x, w=manifest.put(net, "fc/weights"), b=manifest.put(net, "fc/bias"))
    if softmax:
        x = net.op("softmax", x)
    net.finish([x])


def ssd_detector(pack: Pack, model_dir: pathlib.Path) -> None:
    """SsdMobilenetv1.ts, mobileNetV1.ts, predictionLayer.ts; batch normalisation is folded into the depthwise weights."""
    manifest = Manifest(model_dir, "ssd_mobilenetv1_model")
    net = Net(pack, "ssd_detector", [512, 512, 3])
    epsilon = np.float32(0.0010000000474974513)

    def pointwise(x: str, prefix: str, stride: int) -> str:
        return net.op(
            "conv2d", x, w=manifest.put(net, f"{prefix}/weights"), b=manifest.put(net, f"{prefix}/convolution_bn_offset"),
            stride=[stride, stride], pad="same", act="relu6",
        )

    x = net.op("affine", "input", scale=[1 / 127.5] * 3, shift=[-1.0] * 3)
    x = pointwise(x, "MobilenetV1/Conv2d_0_pointwise", 2)
    conv11 = x
    for i in range(1, 14):
        prefix = f"MobilenetV1/Conv2d_{i}_depthwise"
        weights = manifest.value(f"{prefix}/depthwise_weights")
        norm = {part: manifest.value(f"{prefix}/BatchNorm/{part}") for part in ("gamma", "beta", "moving_mean", "moving_variance")}
        factor = norm["gamma"] / np.sqrt(norm["moving_variance"] + epsilon)
        stride = 2 if i in (2, 4, 6, 12) else 1
        x = net.op(
            "depthwise", x,
            w=net.weight(f"depthwise{i}.w", weights.reshape(depthwise_shape(weights)) * factor),
            b=net.weight(f"depthwise{i}.b", norm["beta"] - norm["moving_mean"] * factor),
            stride=[stride, stride], pad="same", act="relu6",
        )
        x = pointwise(x, f"MobilenetV1/Conv2d_{i}_pointwise", 1)
        if i == 11:
            conv11 = x
    maps = [conv11, x]
    for i in range(8):
        x = pointwise(x, f"Prediction/Conv2d_{i}_pointwise", 2 if i % 2 else 1)
        if i % 2:
            maps.append(x)
    outputs = []
    for part, last in (("BoxEncodingPredictor", 4), ("ClassPredictor", 3)):
        rows = []
        for i, feature_map in enumerate(maps):
            prefix = f"Prediction/BoxPredictor_{i}/{part}"
            y = net.op(
                "conv2d", feature_map, w=manifest.put(net, f"{prefix}/weights"), b=manifest.put(net, f"{prefix}/biases"),
                stride=[1, 1], pad="same",
            )
            rows.append(net.op("reshape", y, shape=[-1, last]))
        outputs.append(net.op("concat", rows, axis=1))
    anchors = manifest.value("Output/extra_dim")
    net.facts["anchors"] = net.weight("anchors", anchors.reshape(-1, 4))
    net.finish(outputs)


# --- TensorFlow.js graph models ------------------------------------------------------------------------------------------


def graph_model(pack: Pack, path: pathlib.Path, name: str, outputs: list[str], **facts) -> None:
    """A TensorFlow.js graph model (`*.json` and its `*.bin`) whose operations are those of plain convolutional nets."""
    model = json.loads(path.read_text())
    weights: dict[str, np.ndarray] = {}
    for group in model["weightsManifest"]:
        data = b"".join((path.parent / part).read_bytes() for part in group["paths"])
        offset = 0
        for entry in group["weights"]:
            dtype = {"float32": np.float32, "int32": np.int32}[entry["dtype"]]
            size = int(np.prod(entry["shape"], dtype=np.int64)) * 4
            weights[entry["name"]] = np.frombuffer(data[offset : offset + size], dtype).reshape(entry["shape"])
            offset += size
    nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
    placeholder = next(node for node in nodes.values() if node["op"] == "Placeholder")
    shape = [int(d["size"]) for d in placeholder["attr"]["shape"]["shape"]["dim"]]
    net = Net(pack, name, shape[1:], **facts)
    done: dict[str, str] = {placeholder["name"]: "input"}
    stored: dict[str, str] = {}

    def text(node: dict, key: str) -> str:
        return base64.b64decode(node["attr"][key]["s"]).decode()

    def ints(node: dict, key: str) -> list[int]:
        return [int(v) for v in node["attr"][key]["list"]["i"]][1:3]

    def put(source: str, shape: list[int] | None = None) -> str:
        if source not in stored:
            value = weights[source]
            stored[source] = net.weight(f"w{len(stored)}", value if shape is None else value.reshape(shape))
        return stored[source]

    def visit(full: str) -> str:
        key = full.split(":")[0]
        if key in done:
            return done[key]
        node = nodes[key]
        kind, inputs = node["op"], [i for i in node.get("input", []) if not i.startswith("^")]
        x = visit(inputs[0])
        if kind == "_FusedConv2D":
            fused = [base64.b64decode(s).decode() for s in node["attr"]["fused_ops"]["list"]["s"]]
            assert fused[0] == "BiasAdd" and fused[1:] in ([], ["Relu"]), fused
            y = net.op(
                "conv2d", x, w=put(inputs[1]), b=put(inputs[2]), stride=ints(node, "strides"),
                pad=text(node, "padding").lower(), act="relu" if fused[1:] else None,
            )
        elif kind == "DepthwiseConv2dNative":
            y = net.op(
                "depthwise", x, w=put(inputs[1], depthwise_shape(weights[inputs[1]])), stride=ints(node, "strides"),
                pad=text(node, "padding").lower(),
            )
        elif kind == "MaxPool":
            y = net.op("max_pool", x, size=ints(node, "ksize"), stride=ints(node, "strides"), pad=text(node, "padding").lower())
        elif kind == "AddV2":
            y = net.op("add", [x, visit(inputs[1])])
        elif kind == "Relu":
            y = net.op("act", x, act="relu")
        elif kind == "Pad":
            pads = weights[inputs[1]].reshape(4, 2)
            assert not pads[0].any()
            y = net.op("pad", x, pads=[int(v) for v in pads[1:].reshape(-1)])
        elif kind == "Mean":
            y = net.op("mean", x)
        elif kind == "Reshape":
            y = net.op("reshape", x, shape=[int(v) for v in weights[inputs[1]].reshape(-1)[1:]])
        elif kind == "Softmax":
            y = net.op("softmax", x)
        elif kind == "Identity":
            y = x
        else:
            raise ValueError(f"{path.name}: operation {kind} is not known to the converter")
        done[key] = y
        return y

    net.finish([visit(output) for output in outputs])


# --- Keras HDF5 ----------------------------------------------------------------------------------------------------------


def keras_model(pack: Pack, path: pathlib.Path, name: str, **facts) -> None:
    """A Keras 2 functional model of (separable) convolutions; batch normalisation is folded into the layer before it."""
    import h5py

    with h5py.File(path, "r") as file:
        raw = file.attrs["model_config"]
        config = json.loads(raw if isinstance(raw, str) else raw.decode())["config"]
        weights: dict[str, dict[str, np.ndarray]] = {}
        root = file["model_weights"]
        for layer in root:
            names = [n.decode() if isinstance(n, bytes) else n for n in root[layer].attrs["weight_names"]]
            weights[layer] = {n.split("/")[-1].split(":")[0]: np.array(root[layer][n], np.float32) for n in names}

    layers = {layer["name"]: layer for layer in config["layers"]}
    followers: dict[str, list[str]] = {}
    for layer in config["layers"]:
        for node in layer["inbound_nodes"][:1]:
            for entry in node:
                followers.setdefault(entry[0], []).append(layer["name"])
    input_layer = config["layers"][0]
    net = Net(pack, name, input_layer["config"]["batch_input_shape"][1:], **facts)
    done = {input_layer["name"]: "input"}

    def norm_after(layer: str) -> tuple[str, np.ndarray, np.ndarray] | None:
        """The batch normalisation that alone follows `layer`, as (name, factor, offset)."""
        after = followers.get(layer, [])
        if len(after) != 1 or layers[after[0]]["class_name"] != "BatchNormalization":
            return None
        w, epsilon = weights[after[0]], np.float32(layers[after[0]]["config"]["epsilon"])
        factor = w["gamma"] / np.sqrt(w["moving_variance"] + epsilon)
        return after[0], factor, w["beta"] - w["moving_mean"] * factor

    for layer in config["layers"][1:]:
        kind, label, cfg = layer["class_name"], layer["name"], layer["config"]
        if label in done:
            continue
        xs = [done[entry[0]] for entry in layer["inbound_nodes"][0]]
        if kind in ("Conv2D", "SeparableConv2D"):
            assert cfg["dilation_rate"] == [1, 1] and cfg["data_format"] == "channels_last" and cfg["activation"] == "linear"
            w, x, norm = weights[label], xs[0], norm_after(label)
            stride, pad = cfg["strides"], cfg["padding"]
            if kind == "SeparableConv2D":
                depthwise = w["depthwise_kernel"]
                x = net.op(
                    "depthwise", x, w=net.weight(f"{label}.d", depthwise.reshape(depthwise_shape(depthwise))),
                    stride=stride, pad=pad,
                )
                kernel, stride, pad = w["pointwise_kernel"], [1, 1], "valid"
            else:
                kernel = w["kernel"]
            bias = w.get("bias", np.zeros(kernel.shape[-1], np.float32))
            if norm:
                kernel, bias = kernel * norm[1], bias * norm[1] + norm[2]
            y = net.op("conv2d", x, w=net.weight(f"{label}.w", kernel), b=net.weight(f"{label}.b", bias), stride=stride, pad=pad)
            if norm:
                done[norm[0]] = y
        elif kind == "Activation" and cfg["activation"] == "relu":
            y = net.op("act", xs[0], act="relu")
        elif kind == "Activation" and cfg["activation"] == "softmax":
            y = net.op("softmax", xs[0])
        elif kind == "MaxPooling2D":
            y = net.op("max_pool", xs[0], size=cfg["pool_size"], stride=cfg["strides"], pad=cfg["padding"])
        elif kind == "Add":
            y = net.op("add", xs)
        elif kind == "GlobalAveragePooling2D":
            y = net.op("mean", xs[0])
        else:
            raise ValueError(f"{path.name}: layer {label} ({kind}) is not known to the converter")
        done[label] = y
    net.finish([done[config["output_layers"][0][0]]])


# --- TFLite --------------------------------------------------------------------------------------------------------------


class Table:
    """A FlatBuffers table: fields by number, as the TFLite schema counts them."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.vtable = at - struct.unpack_from("<i", data, at)[0]
        self.fields = (struct.unpack_from("<H", data, self.vtable)[0] - 4) // 2

    def _where(self, field: int) -> int:
        if field >= self.fields:
            return 0
        offset = struct.unpack_from("<H", self.data, self.vtable + 4 + 2 * field)[0]
        return self.at + offset if offset else 0

    def scalar(self, field: int, code: str, default=0):
        where = self._where(field)
        return struct.unpack_from("<" + code, self.data, where)[0] if where else default

    def _target(self, field: int) -> int:
        where = self._where(field)
        return where + struct.unpack_from("<I", self.data, where)[0] if where else 0

    def table(self, field: int) -> "Table | None":
        target = self._target(field)
        return Table(self.data, target) if target else None

    def array(self, field: int, dtype) -> np.ndarray:
        target = self._target(field)
        if not target:
            return np.zeros(0, dtype)
        count = struct.unpack_from("<I", self.data, target)[0]
        return np.frombuffer(self.data, dtype, count, target + 4)

    def tables(self, field: int) -> "list[Table]":
        target = self._target(field)
        if not target:
            return []
        count = struct.unpack_from("<I", self.data, target)[0]
        places = [target + 4 + 4 * i for i in range(count)]
        return [Table(self.data, place + struct.unpack_from("<I", self.data, place)[0]) for place in places]


TFLITE_OPS = {0: "add", 3: "conv2d", 4: "depthwise", 6: "dequantize", 9: "dense", 22: "reshape", 25: "softmax", 34: "pad", 40: "mean"}
TFLITE_ACTS = {0: None, 1: "relu", 3: "relu6"}


def tflite_model(pack: Pack, path: pathlib.Path, name: str, **facts) -> None:
    """A TFLite model of convolutions, with float or 8-bit (post-training quantised) weights."""
    data = path.read_bytes()
    model = Table(data, struct.unpack_from("<I", data, 0)[0])
    codes = [max(code.scalar(0, "b"), code.scalar(3, "i")) for code in model.tables(1)]
    buffers = [buffer.array(0, np.uint8) for buffer in model.tables(4)]
    (graph,) = model.tables(2)
    tensors = graph.tables(0)
    shapes = [t.array(0, np.int32).tolist() for t in tensors]
    (graph_input,), (graph_output,) = graph.array(1, np.int32).tolist(), graph.array(2, np.int32).tolist()
    net = Net(pack, name, shapes[graph_input][1:], **facts)
    done = {graph_input: "input"}
    same_as: dict[int, int] = {}

    def raw(index: int, kind: str) -> tuple[np.ndarray, tuple[float, float] | None]:
        index = same_as.get(index, index)
        tensor = tensors[index]
        dtype = {0: np.float32, 2: np.int32, 3: np.uint8, 9: np.int8}[tensor.scalar(1, "b")]
        value = buffers[tensor.scalar(2, "I")].view(dtype).reshape(shapes[index])
        if dtype in (np.float32, np.int32):
            return value, None
        quantization = tensor.table(4)
        scale, zero = quantization.array(2, np.float32), quantization.array(3, np.int64)
        assert len(scale) == 1, "per-channel quantisation does not occur"
        offset = 0
        if dtype == np.uint8 and zero[0] == 0 and kind != "depthwise":
            # Converters of 2018 wrote the symmetric 8-bit weights of hybrid convolutions and dense layers as "uint8"; the
            # runtime reads those bytes as int8 (hybrid paths of kernels/conv.cc and kernels/fully_connected.cc).
            value = value.view(np.int8)
        if value.dtype == np.int8:
            value, offset = (value.astype(np.int16) + 128).astype(np.uint8), 128
        return value, (float(scale[0]), -float(scale[0]) * (float(zero[0]) + offset))

    def put(index: int, label: str, arrange, kind: str = "") -> str:
        value, affine = raw(index, kind)
        return net.weight(label, arrange(value), affine)

    for number, operator in enumerate(graph.tables(3)):
        kind = TFLITE_OPS[codes[operator.scalar(0, "I")]]
        inputs, (output,) = operator.array(1, np.int32).tolist(), operator.array(2, np.int32).tolist()
        options = operator.table(4)
        if kind == "dequantize":
            same_as[output] = inputs[0]
            continue
        x = done[inputs[0]]
        label = f"op{number}"
        if kind in ("conv2d", "depthwise"):
            stride = [options.scalar(2, "i"), options.scalar(1, "i")]
            pad = ["same", "valid"][options.scalar(0, "b")]
            act = TFLITE_ACTS[options.scalar(3 if kind == "conv2d" else 4, "b")]
            if kind == "conv2d":  # [out, height, width, in]
                w = put(inputs[1], f"{label}.w", lambda v: np.ascontiguousarray(v.transpose(1, 2, 3, 0)))
            else:  # [1, height, width, channels]
                assert options.scalar(3, "i") == 1
                w = put(inputs[1], f"{label}.w", lambda v: v[0], kind)
            y = net.op(kind, x, w=w, b=put(inputs[2], f"{label}.b", lambda v: v), stride=stride, pad=pad, act=act)
        elif kind == "dense":  # [out, in]
            if len(shapes[inputs[0]]) != 2:
                x = net.op("reshape", x, shape=[-1])
            y = net.op(
                "dense", x, w=put(inputs[1], f"{label}.w", lambda v: np.ascontiguousarray(v.T)),
                b=put(inputs[2], f"{label}.b", lambda v: v), act=TFLITE_ACTS[options.scalar(0, "b")],
            )
        elif kind == "add":
            y = net.op("add", [x, done[inputs[1]]], act=TFLITE_ACTS[options.scalar(0, "b")])
        elif kind == "pad":
            pads = raw(inputs[1], kind)[0]
            assert not pads[0].any()
            y = net.op("pad", x, pads=[int(v) for v in pads[1:].reshape(-1)])
        elif kind == "mean":
            y = net.op("mean", x)
        elif kind == "reshape":
            y = net.op("reshape", x, shape=shapes[output][1:])
        else:
            y = net.op("softmax", x)
        done[output] = y
    net.finish([done[graph_output]])


def convert(sources: dict[str, pathlib.Path], out: pathlib.Path) -> None:
    """Writes `out/face.safetensors`.

    `sources`: the folders with the unpacked packages, by the keys of `packs/mini/sources.json`: `face_api`, `human_models`, `fer`,
    `facex`.
    """
    pack = Pack()
    face_api = sources["face_api"] / "package" / "model"
    human = sources["human_models"] / "package" / "models"
    ssd_detector(pack, face_api)
    graph_model(
        pack, human / "blazeface.json", "blazeface", ["Identity", "Identity_1", "Identity_2", "Identity_3"]
    )
    feature_net(pack, face_api, "face_landmark_68_model", "landmarks", softmax=False)
    feature_net(pack, face_api, "face_expression_model", "face_api", softmax=True, labels=FACE_API_LABELS)
    graph_model(pack, human / "emotion.json", "human", ["Identity"], labels=HUMAN_LABELS)
    keras_model(pack, sources["fer"] / "fer" / "data" / "emotion_model.hdf5", "fer", labels=FER_LABELS)
    tflite_model(pack, sources["facex"] / "facex" / "assets" / "model_optimized.tflite", "facex", labels=FACEX_LABELS)
    pack.write(out / "face.safetensors")


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description="Convert the face nets into face.safetensors.")
    for flag in ("face-api", "human-models", "fer", "facex", "out"):
        parser.add_argument(f"--{flag}", type=pathlib.Path, required=True)
    args = parser.parse_args()
    convert(
        {
            "face_api": args.face_api, "human_models": args.human_models, "fer": args.fer, "facex": args.facex
        },
        args.out,
    )
