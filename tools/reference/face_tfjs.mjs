// Runs the nets that come as TensorFlow.js weights in the TensorFlow.js that @vladmandic/face-api bundles.
//
// node face_tfjs.mjs FACE_API_PACKAGE HUMAN_MODELS_PACKAGE WORK_DIR
// Reads WORK_DIR/inputs.json ([{net, name, shape, file}], little-endian f32 files) and writes one file for each output and outputs.json.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [faceApiDir, humanDir, work] = process.argv.slice(2);
const bundle = path.join(work, 'face-api.mjs');
fs.copyFileSync(path.join(faceApiDir, 'dist', 'face-api.esm.js'), bundle);
// The bundle's Node platform needs modules that the bundle leaves out; as in a web worker it uses what Node has built in.
globalThis.WorkerGlobalScope = class {};
const faceapi = await import(pathToFileURL(bundle));
const { tf } = faceapi;
await tf.setBackend('cpu');
await tf.ready();

const buffer = (file) => {
  const data = fs.readFileSync(file);
  return data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength);
};

async function faceApiNet(net, model) {
  const dir = path.join(faceApiDir, 'model');
  const manifest = JSON.parse(fs.readFileSync(path.join(dir, `${model}-weights_manifest.json`)));
  const load = tf.io.weightsLoaderFactory((files) => Promise.all(files.map((file) => buffer(file))));
  net.loadFromWeightMap(await load(manifest, dir));
  return net;
}

async function graphModel(name) {
  const json = JSON.parse(fs.readFileSync(path.join(humanDir, 'models', `${name}.json`)));
  return tf.loadGraphModel({
    load: async () => ({
      modelTopology: json.modelTopology,
      weightSpecs: json.weightsManifest.flatMap((group) => group.weights),
      weightData: buffer(path.join(humanDir, 'models', json.weightsManifest[0].paths[0])),
      format: json.format,
      userDefinedMetadata: json.userDefinedMetadata,
    }),
  });
}

const expression = await faceApiNet(new faceapi.FaceExpressionNet(), 'face_expression_model');
const landmarks = await faceApiNet(new faceapi.FaceLandmark68Net(), 'face_landmark_68_model');
const ssd = await faceApiNet(new faceapi.SsdMobilenetv1(), 'ssd_mobilenetv1_model');
const human = await graphModel('emotion');
const blaze = await graphModel('blazeface');

const runs = {
  face_api: async (x) => [await expression.forward(x)],
  landmarks: async (x) => [await landmarks.forward(x)],
  human: async (x) => [human.execute(x, 'Identity')],
  blazeface: async (x) => blaze.execute(x, ['Identity', 'Identity_1', 'Identity_2', 'Identity_3']),
  // Decoded boxes [y0, x0, y1, x1] of the unit square, and scores after the sigmoid.
  ssd_detector: async (x) => {
    const { boxes, scores } = await ssd.forward(x);
    return [boxes[0], scores[0]];
  },
};

const outputs = [];
for (const { net, name, shape, file } of JSON.parse(fs.readFileSync(path.join(work, 'inputs.json')))) {
  if (!(net in runs)) continue;
  const x = tf.tensor(new Float32Array(buffer(path.join(work, file))), shape);
  for (const [i, y] of (await runs[net](x)).entries()) {
    const out = `${net}.${name}.out${i}.bin`;
    fs.writeFileSync(path.join(work, out), Buffer.from((await y.data()).slice().buffer));
    outputs.push({ net, name, output: i, shape: y.shape, file: out });
  }
}
fs.writeFileSync(path.join(work, 'outputs.json'), JSON.stringify(outputs));
