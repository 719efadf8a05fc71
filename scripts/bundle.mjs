// Makes one CommonJS file of the CLI in which rarely used code costs nothing at start.
//
// V8 reads all of a file before it runs the first line: 20 µs a KB, five milliseconds for this program. So esbuild cuts the
// program where it is imported dynamically, the parts that every start needs become functions, and the others lie behind
// them in a comment, which is skipped at memory speed. When one is wanted, it is read from the file and compiled.

import { build, transform } from 'esbuild';

/** Stands for the end of a comment within the comment. */
const END_OF_COMMENT = '*\u0001/';

const TARGET = 'node20.19';

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
  const imports = new Map(Object.entries(metafile.outputs).map(([path, output]) => [baseName(path), output.imports]));
  const texts = new Map();
  for (const file of outputFiles) {
    const { code } = await transform(keepForeignImports(file.text), {
      format: 'cjs', platform: 'node', target: TARGET, minifyWhitespace: true, supported: { 'dynamic-import': false },
    });
    texts.set(baseName(file.path), code);
  }
  const first = ['main.js', ...[...texts.keys()].filter((name) => quick.includes(name.replace(/-[^-]*$/, '')))];
  return assemble(texts, reachable(first, imports));
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
function reachable(first, imports) {
  const found = new Set(first);
  for (const name of found) {
    for (const { path, kind } of imports.get(name) ?? []) if (kind === 'import-statement' && path.endsWith('.js')) found.add(baseName(path));
  }
  return found;
}

/** @param {Map<string, string>} texts @param {Set<string>} eager */
function assemble(texts, eager) {
  const eagerParts = [...texts].filter(([name]) => eager.has(name)).map(([name, code]) => `${JSON.stringify(name)}(require,module,exports,importMeta){${code}}`);
  const lazy = [...texts].filter(([name]) => !eager.has(name)).map(([name, code]) => [name, code.replaceAll('*/', END_OF_COMMENT)]);
  let offset = 0;
  const places = lazy.map(([name, code]) => {
    const place = `${JSON.stringify(name)}:[${offset},${code.length}]`;
    offset += code.length;
    return place;
  });
  return `#!/usr/bin/env node
"use strict";
const importMeta = { get url() { return require("node:url").pathToFileURL(__filename).href; }, load: (url) => import(url) };
const modules = new Map();
const parts = {${eagerParts.join(',\n')}};
const places = {${places.join(',')}};
let text;
function load(name) {
  const known = modules.get(name);
  if (known) return known.exports;
  const module = { exports: {} };
  modules.set(name, module);
  (parts[name] ?? compile(name))(requirePart, module, module.exports, importMeta);
  return module.exports;
}
function requirePart(name) {
  return name.startsWith("./") ? load(name.slice(2)) : require(name);
}
function compile(name) {
  if (text === undefined) {
    // esbuild writes ASCII, and latin1 is read fastest.
    const file = require("node:fs").readFileSync(__filename, "latin1");
    text = file.slice(file.lastIndexOf("\\n/*") + 3);
  }
  const [offset, length] = places[name];
  const code = text.slice(offset, offset + length).replaceAll("*\\u0001/", "*/");
  return require("node:vm").compileFunction(code, ["require", "module", "exports", "importMeta"], { filename: __filename + "#" + name });
}
load("main.js");
/*${lazy.map(([, code]) => code).join('')}*/
`;
}

/** @param {string} path */
function baseName(path) {
  return path.slice(path.lastIndexOf('/') + 1);
}
