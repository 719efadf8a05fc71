// Makes one CommonJS file of the CLI that starts fast: nothing is compiled before it is wanted.
//
// V8 reads all of a file before it runs the first line: 20 µs a KB, five milliseconds for this program. So esbuild cuts the
// program where it is imported dynamically, and all of it lies in a comment, which is skipped at memory speed. The parts
// that every start needs are one script, which V8 takes from its code cache (code-cache.mjs) where that fits, and compiles
// where it does not. The others are compiled one by one when they are wanted. Reading the file costs 3 µs a KB all the same,
// so local names are shortened.

import { createHash } from 'node:crypto';

import { build, transform } from 'esbuild';

/** Stands for the end of a comment within the comment. */
const END_OF_COMMENT = '*\u0001/';

const TARGET = 'node20.19';
const COMMON_JS = { format: 'cjs', platform: 'node', target: TARGET, minify: true, supported: { 'dynamic-import': false } };

/** The code cache begins with a line of this length that says what it was made of and for whom; V8 wants what follows aligned. */
const CACHE_HEADER = 64;

/**
 * The text of the executable.
 * @param {string} entry the first source file
 * @param {readonly string[]} quick parts that start fast although they are imported dynamically: `modprobe` for modprobe.ts
 * @returns {Promise<string>}
 */
export async function bundle(entry, quick) {
  const { outputFiles, metafile } = await build({
    entryPoints: [entry], bundle: true, splitting: true, write: false, metafile: true, outdir: 'out', entryNames: 'main', chunkNames: '[name]-[hash]',
    platform: 'node', format: 'esm', target: TARGET, external: ['koffi'], minifyWhitespace: true, minifySyntax: true, logLevel: 'warning',
    define: { 'import.meta.url': 'importMeta.url' },
  });
  const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [baseName(path), output]));
  const texts = new Map(outputFiles.map((file) => [baseName(file.path), keepForeignImports(file.text)]));
  const first = ['main.js', ...[...texts.keys()].filter((name) => quick.includes(name.replace(/-[^-]*$/, '')))];
  const eager = reachable(first, outputs);
  const start = await join([...eager].map((name) => ({ name, text: texts.get(name) ?? '', names: outputs.get(name)?.exports ?? [] })));
  const lazy = [...texts].filter(([name]) => !eager.has(name)).map(async ([name, text]) => [name, (await transform(text, COMMON_JS)).code]);
  return assemble(start, await Promise.all(lazy));
}

/**
 * `import()` of a part becomes a `require` of ours. What is imported by an address that is only known later is a file of the user's: that one
 * Node itself loads, by the `import()` of the executable's own scope.
 * @param {string} code
 */
function keepForeignImports(code) {
  return code.replace(/\bimport\((?!")/g, 'importMeta.load(');
}

/** These parts and what they import statically. */
function reachable(first, outputs) {
  const found = new Set(first);
  for (const name of found) {
    for (const { path, kind } of outputs.get(name)?.imports ?? []) if (kind === 'import-statement' && path.endsWith('.js')) found.add(baseName(path));
  }
  return found;
}

/**
 * One scope of the parts of every start: calls between parts then cost no look-up, and nothing is made for the lazy parts
 * until one asks.
 */
async function join(eager) {
  const imports = eager.map(({ name }, i) => `import * as part${i} from "./${name}";`);
  const getters = (names, i) => names.map((name) => `get ${name}(){return part${i}.${name}}`);
  const exported = eager.map(({ name, names }, i) => `${JSON.stringify(name)}:()=>({${['__esModule:true', ...getters(names, i)].join(',')}})`);
  const texts = new Map(eager.map(({ name, text }) => [`./${name}`, text]));
  const parts = {
    name: 'parts',
    setup({ onResolve, onLoad }) {
      // What is imported dynamically is asked for by its name, as from a lazy part.
      onResolve({ filter: /^\.\// }, ({ path, kind }) => (kind === 'import-statement' ? { path, namespace: 'part' } : { path, external: true }));
      onLoad({ filter: /^/, namespace: 'part' }, ({ path }) => ({ contents: texts.get(path) ?? '' }));
    },
  };
  const { outputFiles: [file] } = await build({
    stdin: { contents: `${imports.join('')}export const parts={${exported.join(',')}};` }, bundle: true, write: false, external: ['koffi'],
    logLevel: 'warning', plugins: [parts], ...COMMON_JS,
  });
  return `(function(require,module,importMeta){"use strict";${file?.text ?? ''}})`;
}

/** @param {string} start @param {string[][]} lazy */
function assemble(start, lazy) {
  const parts = [['start', start], ...lazy].map(([name, code]) => [name, code.replaceAll('*/', END_OF_COMMENT)]);
  let offset = 0;
  const places = parts.map(([name, code]) => {
    const place = `${JSON.stringify(name)}:[${offset},${code.length}]`;
    offset += code.length;
    return place;
  });
  const id = createHash('sha256').update(start).digest('hex').slice(0, 16);
  return `#!/usr/bin/env node
"use strict";
const { readFileSync } = require("node:fs");
const vm = require("node:vm");
const importMeta = { get url() { return require("node:url").pathToFileURL(__filename).href; }, load: (url) => import(url) };
const places = {${places.join(',')}};
const comment = String(() => {/*${parts.map(([, code]) => code).join('')}*/});
const begin = comment.indexOf("/*") + 2;
const header = \`${id} \${process.version} \${process.arch}\`.padEnd(${CACHE_HEADER - 1}) + "\\n";
const script = new vm.Script(text("start"), { filename: __filename + "#start", cachedData: cachedCode() });
const loaded = new Map();
const start = { exports: {} };
script.runInThisContext()(requirePart, start, importMeta);
function requirePart(name) {
  return name.startsWith("./") ? load(name.slice(2)) : require(name);
}
function load(name) {
  const known = loaded.get(name);
  if (known) return known.exports;
  const module = { exports: start.exports.parts[name]?.() ?? {} };
  loaded.set(name, module);
  if (places[name]) compile(name)(requirePart, module, module.exports, importMeta);
  return module.exports;
}
function compile(name) {
  return vm.compileFunction(text(name), ["require", "module", "exports", "importMeta"], { filename: __filename + "#" + name });
}
function text(name) {
  const [offset, length] = places[name];
  return comment.slice(begin + offset, begin + offset + length).replaceAll("*\\u0001/", "*/");
}
function cachedCode() {
  let cache;
  try {
    cache = readFileSync(__dirname + "/tskmod.cache");
  } catch {
    // Then V8 compiles what it runs.
    return undefined;
  }
  // V8 trusts what it is given, so the code is there twice: damage and a cut end show as a difference.
  const size = (cache.length - header.length) / 2;
  if (!Number.isInteger(size) || size <= 0 || cache.latin1Slice(0, header.length) !== header) return undefined;
  // Buffer's own subarray() costs more than all of this.
  const begin = cache.byteOffset + header.length;
  const code = new Uint8Array(cache.buffer, begin, size);
  return Buffer.compare(code, new Uint8Array(cache.buffer, begin + size, size)) === 0 ? code : undefined;
}
module.exports = { header, script };
`;
}

/** @param {string} path */
function baseName(path) {
  return path.slice(path.lastIndexOf('/') + 1);
}
