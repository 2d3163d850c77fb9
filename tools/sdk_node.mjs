// Writes the package.json of the packages that go with emotion-llama-sdk: sdk_node.mjs SDK PLATFORM MODEL, three directories.

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const [sdk, platform, model] = process.argv.slice(2);
const { version, license, engines, optionalDependencies, peerDependencies } = JSON.parse(readFileSync(path.join(sdk, 'package.json'), 'utf8'));
const { version: wanted } = /^\[workspace\.package\]\nversion = "(?<version>.*)"$/m.exec(readFileSync('Cargo.toml', 'utf8')).groups;
for (const [name, pinned] of Object.entries({ 'emotion-llama-sdk': version, ...optionalDependencies, ...peerDependencies })) {
  if (pinned !== wanted) throw new Error(`bindings/node/package.json has ${name} ${pinned}; this is ${wanted}`);
}

function write(directory, fields) {
  writeFileSync(path.join(directory, 'package.json'), `${JSON.stringify(fields, undefined, 2)}\n`);
}

write(platform, {
  name: '@emotion-llama/linux-x64-gnu',
  version,
  description: 'The native part of emotion-llama-sdk for Linux on x86-64 with glibc.',
  license: `${license} AND LGPL-2.1-or-later`,
  engines,
  os: ['linux'],
  cpu: ['x64'],
  libc: ['glibc'],
  main: 'emotion_llama.node',
  files: ['emotion_llama.node', 'lib*.so.*', 'licenses', 'THIRD_PARTY.md'],
});
const manifest = JSON.parse(readFileSync(path.join(model, 'packs/emotion-llama-mini/pack.json'), 'utf8'));
const licences = [...new Set(Object.values(manifest.files).map(({ licence }) => licence))].sort();
write(model, {
  name: '@emotion-llama/model-mini',
  version,
  description: 'The built-in model of emotion-llama-sdk.',
  license: licences.length === 1 ? licences[0] : `(${licences.join(' AND ')})`,
  files: ['packs', 'THIRD_PARTY.md'],
});
