// face-api.js on the wasm backend. A line in (`load DETECTOR FILE WIDTH HEIGHT COUNT`, `read`), a number out: seconds for all frames.
// The module folder comes as the first argument. tfjs runs wasm in Node on one thread. SPDX-License-Identifier: Apache-2.0

import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import readline from 'node:readline'

const modules = path.resolve(process.argv[2])
const require = createRequire(path.join(modules, 'index.js'))
const log = console.log
console.log = console.warn = console.info = () => {}
const tf = require('@tensorflow/tfjs')
const wasm = require('@tensorflow/tfjs-backend-wasm')
wasm.setWasmPaths(path.join(modules, '@tensorflow/tfjs-backend-wasm/dist/'))
await tf.setBackend('wasm')
await tf.ready()
const api = require('@vladmandic/face-api/dist/face-api.node-wasm.js')
const models = path.join(modules, '@vladmandic/face-api/model')

let frames = []
let options = null

async function load(detector, file, width, height, count) {
  const net = detector === 'tiny' ? api.nets.tinyFaceDetector : api.nets.ssdMobilenetv1
  for (const each of [net, api.nets.faceLandmark68Net, api.nets.faceExpressionNet]) await each.loadFromDisk(models)
  options = detector === 'tiny' ? new api.TinyFaceDetectorOptions() : new api.SsdMobilenetv1Options()
  const bytes = fs.readFileSync(file)
  const size = width * height * 3
  frames = Array.from({ length: count }, (_, i) => ({ bytes: bytes.subarray(i * size, (i + 1) * size), shape: [height, width, 3] }))
  return 0
}

async function read() {
  const began = performance.now()
  for (const { bytes, shape } of frames) {
    const picture = tf.tensor3d(bytes, shape, 'int32')
    const found = await api.detectSingleFace(picture, options).withFaceLandmarks().withFaceExpressions()
    tf.dispose(picture)
    if (!found) throw new Error('no face was found')
  }
  return (performance.now() - began) / 1000
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const [verb, detector, file, ...sizes] = line.split(' ')
  try {
    log(String(verb === 'load' ? await load(detector, file, ...sizes.map(Number)) : await read()))
  } catch (error) {
    log(`error ${error.message}`)
  }
}
