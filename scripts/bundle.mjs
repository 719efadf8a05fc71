// Makes the executable of the CLI so that it starts fast: a small CommonJS file, which Node reads whole at every start, and
// beside it the program itself.
//
// V8 reads all of a file before it runs the first line: 20 µs a KB, fifteen milliseconds for this program, and three even of
// what is only a comment. So esbuild cuts the program where it is imported dynamically, and the pieces lie one behind the
// other in tskmod.parts, from which the executable takes those that it wants. The parts that every start needs are one piece,
// and so are others that are always wanted together: each piece costs half a millisecond.
// What V8 made of a piece is taken from its code cache (code-cache.mjs) where that fits, and is compiled where it does not.

import { createHash } from 'node:crypto';

import { build, transform } from 'esbuild';

/** That of `engines` in package.json. */
const OLDEST = [20, 19];
const TARGET = `node${OLDEST.join('.')}`;
const COMMON_JS = { format: 'cjs', platform: 'node', target: TARGET, minify: true, supported: { 'dynamic-import': false } };

/** The code cache begins with a line of this length that says what it was made of and for whom; V8 wants what follows aligned. */
const CACHE_HEADER = 64;

/** Bytes of a file of the cache; the largest has 400 thousand. */
const CACHE_LIMIT = 1 << 22;

/**
 * The texts of the executable and of its parts.
 * @param {string} entry the first source file
 * @param {readonly string[]} quick parts that start fast although they are imported dynamically: `modprobe` for modprobe.ts
 * @param {readonly string[]} together more of these, which become one piece
 * @returns {Promise<{ executable: string, parts: string }>}
 */
export async function bundle(entry, quick, together) {
  const { outputFiles, metafile } = await build({
    entryPoints: [entry], bundle: true, splitting: true, write: false, metafile: true, outdir: 'out', entryNames: 'main', chunkNames: '[name]-[hash]',
    platform: 'node', format: 'esm', target: TARGET, external: ['koffi'], minifySyntax: true, logLevel: 'warning',
    define: { 'import.meta.url': 'importMeta.url' },
  });
  const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [baseName(path), output]));
  const texts = new Map(outputFiles.map((file) => [baseName(file.path), takeBuiltins(keepForeignImports(file.text))]));
  const named = (wanted) => [...texts.keys()].filter((name) => wanted.includes(name.replace(/-[^-]*$/, '')));
  const partOf = (name) => ({ name, text: texts.get(name) ?? '', names: outputs.get(name)?.exports ?? [] });
  const first = ['main.js', ...named(quick)];
  const eager = reachable(first, outputs);
  const start = await join([...eager].map(partOf), first);
  const group = [...reachable(named(together), outputs)].filter((name) => !eager.has(name));
  const pieces = [['together', await join(group.map(partOf), group)]];
  for (const [name, text] of texts) if (!eager.has(name) && !group.includes(name)) pieces.push([name, (await transform(text, COMMON_JS)).code]);
  return assemble(start, pieces, group);
}

/**
 * `import()` of a part becomes a `require` of ours. What is imported by an address that is only known later is a file of the user's: that one
 * Node itself loads, by the `import()` of the executable's own scope.
 * @param {string} code
 */
function keepForeignImports(code) {
  return code.replace(/\bimport\((?!")/g, 'importMeta.load(');
}

/**
 * Static imports of Node's own modules become calls of `process.getBuiltinModule`. Between them and a part esbuild would put an object with a
 * getter for each of the hundred names of node:fs, and `require` makes of each module what an ESM import would need: every start would pay.
 * @param {string} code as esbuild writes it: an import is a statement of its own
 */
function takeBuiltins(code) {
  return code.replace(/^import ?(\{[^}]*\}|\* as [\w$]+|[\w$]+) ?from ?("node:[a-z_/]+");$/gm, (_, names, module) => (
    `const ${names.startsWith('{') ? names.replaceAll(' as ', ':') : names.replace('* as ', '')}=process.getBuiltinModule(${module});`
  ));
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
 * One scope of several parts: calls between them then cost no look-up, and nothing is made for other parts until one asks. It exports what
 * makes an object of a part: of those in `first` one function each, of the others one for all.
 */
async function join(members, first) {
  const imports = members.map(({ name }, i) => `import * as part${i} from "./${name}";`);
  const values = (names, i) => names.map((name) => `${name}:part${i}.${name}`);
  const exported = members.map(({ name, names }, i) => `${JSON.stringify(name)}:()=>({${['__esModule:true', ...values(names, i)].join(',')}})`);
  const [quick, others] = [true, false].map((isQuick) => exported.filter((_, i) => first.includes(members[i].name) === isQuick).join(','));
  const texts = new Map(members.map(({ name, text }) => [`./${name}`, text]));
  const parts = {
    name: 'parts',
    setup({ onResolve, onLoad }) {
      // What is imported dynamically, or of another piece, is asked for by its name, as from a lazy part.
      onResolve({ filter: /^\.\// }, ({ path, kind }) => (kind === 'import-statement' && texts.has(path) ? { path, namespace: 'part' } : { path, external: true }));
      onLoad({ filter: /^/, namespace: 'part' }, ({ path }) => ({ contents: texts.get(path) ?? '' }));
    },
  };
  const { outputFiles: [file] } = await build({
    stdin: { contents: `${imports.join('')}export const parts={${quick}},others=()=>({${others}});` }, bundle: true, write: false, external: ['koffi'],
    logLevel: 'warning', plugins: [parts], ...COMMON_JS,
  });
  return `"use strict";${file?.text ?? ''}`;
}

/** @param {string} start @param {string[][]} lazy @param {readonly string[]} group names of parts in the piece `together` */
function assemble(start, lazy, group) {
  const pieces = [['start', start], ...lazy].map(([name, code]) => [name, `(function(require,module,exports,importMeta){${code}\n})`]);
  const id = createHash('sha256').update(JSON.stringify(pieces)).digest('hex').slice(0, 16);
  // Each piece begins with the name of the build, so that a piece of another is never taken for ours.
  const texts = pieces.map(([name, code]) => [name, `/*${id}*/${code}`]);
  let offset = 0;
  const places = texts.map(([name, text]) => {
    const place = `${JSON.stringify(name)}:[${offset},${text.length}]`;
    offset += text.length;
    return place;
  });
  const grouped = group.map((name) => `${JSON.stringify(name)}:"together"`);
  // Behind the pieces: few starts want it, and in the executable all would read it.
  const table = `/*${id}*/{${[...places, ...grouped].join(',')}}`;
  const executable = `#!/usr/bin/env node
"use strict";
const [major, minor] = process.versions.node.split(".");
if (major < ${OLDEST[0]} || (major == ${OLDEST[0]} && minor < ${OLDEST[1]})) {
  require("node:fs").writeSync(2, "tskmod: Node " + process.versions.node + " is too old: ${OLDEST.join('.')} or newer is needed (packaging/README.md of the package says how to get it)\\n");
  process.exit(1);
}
const fs = process.getBuiltinModule("node:fs");
const vm = process.getBuiltinModule("node:vm");
const importMeta = { get url() { return require("node:url").pathToFileURL(__filename).href; }, load: (url) => import(url) };
const places = { start: [0, ${texts[0]?.[1]?.length ?? 0}] };
let table = [${offset}, ${table.length}];
const header = \`${id} \${process.version} \${process.arch}\`.padEnd(${CACHE_HEADER - 1}) + "\\n";
const scripts = new Map();
const loaded = new Map();
const start = { exports: {} };
let file;
let others;
let spare;
compile("start")(requirePart, start, start.exports, importMeta);
function requirePart(name) {
  return name.startsWith("./") ? load(name.slice(2)) : require(name);
}
function load(name) {
  const known = loaded.get(name);
  if (known) return known.exports;
  // Only who loads more wants the second table.
  const eager = start.exports.parts[name] ?? (others ??= start.exports.others())[name];
  const module = { exports: eager ? eager() : {} };
  loaded.set(name, module);
  if (!eager) {
    // From now on the file stays open: a daemon finds its parts also after the package was replaced.
    file ??= openParts();
    if (table) Object.assign(places, JSON.parse(textAt(table).slice(${`/*${id}*/`.length})));
    table = undefined;
    const piece = places[name];
    if (typeof piece === "string") module.exports = load(piece).parts[name]();
    else {
      compile(name)(requirePart, module, module.exports, importMeta);
      // esbuild makes getters of what a part exports: a call for each use of a name by another part. The lint sees to it that no name changes its value.
      module.exports = { __esModule: true, ...module.exports };
    }
  }
  return module.exports;
}
function compile(name) {
  const cached = readCache(name);
  const script = new vm.Script(cached?.text ?? text(name), { filename: __filename + "#" + name, cachedData: cached?.code });
  scripts.set(name, script);
  return script.runInThisContext();
}
function openParts() {
  return fs.openSync(__dirname + "/tskmod.parts");
}
function text(name) {
  return textAt(places[name]);
}
function textAt([offset, length]) {
  file ??= openParts();
  const bytes = Buffer.allocUnsafe(length);
  // esbuild writes ASCII, and latin1 is read fastest.
  const text = bytes.latin1Slice(0, fs.readSync(file, bytes, 0, length, offset));
  if (text.length !== length || !text.startsWith("/*${id}*/")) throw new Error(__dirname + "/tskmod.parts is not of the same build as " + __filename);
  return text;
}
/** A part with what V8 made of it: the header, the code, the code again, the text. */
function readCache(name) {
  let cache;
  try {
    cache = fs.openSync(__dirname + "/tskmod.cache/" + name);
  } catch {
    // Then V8 compiles what it runs.
    return undefined;
  }
  // The program makes these calls too: one that it does not make costs a tenth of a millisecond here. Memory that is not written to costs nothing,
  // but V8 collects garbage after some of it: so it is the same for all parts, and nobody's when they are loaded.
  let bytes = spare?.deref();
  if (!bytes) spare = new WeakRef(bytes = Buffer.allocUnsafeSlow(${CACHE_LIMIT}));
  const end = fs.readSync(cache, bytes, 0, bytes.length, 0);
  fs.closeSync(cache);
  // V8 trusts what it is given, so the code is there twice: damage and a cut end show as a difference.
  const begin = header.length;
  const size = (end - begin - places[name][1]) / 2;
  if (!Number.isInteger(size) || size <= 0 || bytes.latin1Slice(0, begin) !== header) return undefined;
  // Buffer's own subarray() costs more than all of this.
  const code = new Uint8Array(bytes.buffer, begin, size);
  if (Buffer.compare(code, new Uint8Array(bytes.buffer, begin + size, size)) !== 0) return undefined;
  const text = bytes.latin1Slice(begin + 2 * size, end);
  return text.startsWith("/*${id}*/") ? { code, text } : undefined;
}
module.exports = { header, scripts, text };
`;
  return { executable, parts: `${texts.map(([, text]) => text).join('')}${table}` };
}

/** @param {string} path */
function baseName(path) {
  return path.slice(path.lastIndexOf('/') + 1);
}
