// npm run single-file [-- [--no-build] FILE]: one executable of Node and all of the CLI, for systems without Node (Node's single executable application).
//
// It holds dist/, koffi.node, the rules and the documents, and unpacks them once into a directory of its own: Node takes no library and no worker
// from memory. What runs then is the CLI as npm installs it.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { ensureBuild, ensureNodeModules, top } from './setup.mjs';

/** Node looks for this in its own file (nodejs.org/api/single-executable-applications.html). */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

const words = process.argv.slice(2);
const isBuilt = words[0] === '--no-build';
ensureNodeModules();
if (!isBuilt) ensureBuild();
const target = resolve(words[isBuilt ? 1 : 0] ?? join(top, 'dist/single/tskmod'));
const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-single-'));
try {
  make(target, scratch);
} finally {
  rmSync(scratch, { recursive: true });
}
console.log(`${target}: ${(statSync(target).size / 1e6).toFixed(1)} MB, of which Node ${process.version} ${(statSync(process.execPath).size / 1e6).toFixed(1)} MB`);

/** @param {string} target @param {string} scratch */
function make(target, scratch) {
  const assets = packageFiles();
  const hash = createHash('sha256');
  for (const [name, path] of Object.entries(assets)) hash.update(`${name}\0`).update(readFileSync(path));
  const main = join(scratch, 'main.cjs');
  writeFileSync(main, mainProgram(hash.digest('hex').slice(0, 16), Object.keys(assets)));
  const config = join(scratch, 'sea.json');
  const blob = join(scratch, 'sea.blob');
  writeFileSync(config, JSON.stringify({ main, output: blob, disableExperimentalSEAWarning: true, assets }));
  run(process.execPath, ['--experimental-sea-config', config]);
  // A sibling first: an executable that runs may be replaced, and may not be written.
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}`;
  copyFileSync(process.execPath, temporary);
  try {
    chmodSync(temporary, 0o755);
    run(process.execPath, [createRequire(import.meta.url).resolve('postject/dist/cli.js'), temporary, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', FUSE]);
    renameSync(temporary, target);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** By their names below the directory that they are unpacked to. @returns {Record<string, string>} */
function packageFiles() {
  const libc = readFileSync(process.execPath).subarray(0, 4096).includes('/ld-musl-') ? 'musl' : 'linux';
  const abi = process.arch === 'riscv64' ? 'riscv64d' : process.arch;
  const require = createRequire(createRequire(import.meta.url).resolve('koffi'));
  const files = [
    'dist/tskmod.cjs', 'dist/tskmod.parts', ...readdirSync(join(top, 'dist/tskmod.cache')).map((name) => `dist/tskmod.cache/${name}`),
    ...readdirSync(join(top, 'rules')).filter((name) => name.endsWith('.rules')).map((name) => `rules/${name}`),
    ...readdirSync(join(top, 'docs/man')).map((name) => `docs/man/${name}`), ...readdirSync(join(top, 'docs')).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
  ].map((path) => join(top, path));
  const named = files.map((path) => [relative(top, path).replace(/^dist\//, ''), path]);
  return Object.fromEntries([...named, ['koffi.node', require.resolve(`@koromix/koffi-linux-${process.arch}/${libc}_${abi}/koffi.node`)]]);
}

/**
 * What the executable runs: unpacks, and goes on as the CLI of that directory. The directory is named after what is in it, so that
 * another build has another; it is made under another name and renamed, so that it is whole where it is there.
 * @param {string} build
 * @param {readonly string[]} names
 */
function mainProgram(build, names) {
  return `"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { getRawAsset } = require("node:sea");
const directory = unpacked();
// Started by ourselves, or as a Node would be: the first word is the program.
const [node, , ...words] = process.argv;
const isProgram = words[0] !== undefined && (words[0].startsWith(directory + "/") || path.basename(words[0]) === "tskmod.cjs");
const called = isProgram ? directory + "/" + path.basename(words.shift()) : directory + "/" + path.basename(process.argv0);
process.argv = [node, called, ...words];
require("node:module").createRequire(directory + "/tskmod.cjs")("./tskmod.cjs");

function unpacked() {
  const uid = process.getuid();
  // Only root writes to /run; elsewhere the directory has to be ours, and nobody else's to write to.
  const places = uid === 0 ? ["/run/tsmodprobe", "/dev/shm/tsmodprobe", "/tmp/tsmodprobe"] : [(process.env.XDG_RUNTIME_DIR || "/tmp") + "/tsmodprobe-" + uid, "/tmp/tsmodprobe-" + uid];
  const reasons = [];
  // The FFI cannot be loaded from such a mount, and Debian's /run is one. As a last resort it does for what needs no FFI.
  const mounts = mountsOf();
  for (const place of [...places.filter((path) => !isNoexec(mounts, path)), ...places.filter((path) => isNoexec(mounts, path))]) {
    const target = place + "/${build}";
    try {
      claim(place, uid);
      if (fs.existsSync(target)) return target;
      const temporary = fs.mkdtempSync(place + "/unpacking-");
      for (const name of ${JSON.stringify(names)}) {
        const file = temporary + "/" + name;
        fs.mkdirSync(path.dirname(file), { recursive: true });
        fs.writeFileSync(file, new Uint8Array(getRawAsset(name)), { mode: name === "tskmod.cjs" ? 0o755 : 0o644 });
      }
      fs.chmodSync(temporary, 0o755);
      try {
        fs.renameSync(temporary, target);
      } catch (error) {
        // Another process was faster.
        fs.rmSync(temporary, { recursive: true });
        if (!fs.existsSync(target)) throw error;
      }
      return target;
    } catch (error) {
      reasons.push(place + ": " + error.message);
    }
  }
  fs.writeSync(2, path.basename(process.argv0) + ": nowhere to unpack to (" + reasons.join("; ") + ")\\n");
  process.exit(1);
}

/** Mount points with their options. Where /proc is not there, none. */
function mountsOf() {
  try {
    return fs.readFileSync("/proc/self/mounts", "latin1").split("\\n").map((line) => line.split(" "));
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return [];
  }
}

/** The last mount of the longest point that the path is below. */
function isNoexec(mounts, place) {
  let best = ["", "", "", ""];
  for (const mount of mounts) {
    const point = mount[1];
    if (point && point.length >= best[1].length && (place + "/").startsWith(point === "/" ? point : point + "/")) best = mount;
  }
  return best[3].split(",").includes("noexec");
}

/** Makes the directory where it is missing, and throws where it is not only ours to write to. */
function claim(place, uid) {
  try {
    fs.mkdirSync(place, { mode: 0o755 });
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  }
  const stat = fs.lstatSync(place);
  if (!stat.isDirectory() || stat.uid !== uid || (stat.mode & 0o022) !== 0) throw new Error("belongs to another user, or others may write to it");
}
`;
}

/** @param {string} program @param {readonly string[]} args */
function run(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}${stdout}`);
}
