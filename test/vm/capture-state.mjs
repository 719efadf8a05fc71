// Runs in a guest: writes what udev has left there as one JSON object, for udev-state.ts.

import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const TYPES = { isBlockDevice: 'b', isCharacterDevice: 'c', isDirectory: 'd', isFIFO: 'p', isFile: 'f', isSocket: 's', isSymbolicLink: 'l' };

/** Other file systems. */
const MOUNTED = /^\/dev\/(?:pts|shm)$/;

/** Everything below a directory: type, permissions, owner, and what it holds. */
function tree(top, holds) {
  const found = {};
  const walk = (relative) => {
    const path = join(top, relative);
    const status = lstatSync(path);
    const type = Object.entries(TYPES).find(([question]) => status[question]())?.[1] ?? '?';
    found[relative] = { type, mode: (status.mode & 0o7777).toString(8), owner: `${status.uid}:${status.gid}`, ...holds(type, path, status) };
    if (type === 'd' && !MOUNTED.test(path)) for (const name of readdirSync(path)) walk(join(relative, name));
  };
  walk('');
  return found;
}

const device = (type, path, { rdev }) => (type === 'l' ? { target: readlinkSync(path) }
  : type === 'b' || type === 'c' ? { id: `${type}${(rdev >> 8) & 0xfff}:${(rdev & 0xff) | ((rdev >> 12) & 0xfff00)}` } : {});
const file = (type, path) => (type === 'l' ? { target: readlinkSync(path) } : type === 'f' ? { text: readFileSync(path, 'utf8') } : {});

/** The devpath of each name in the database: of nodes by their directory in /sys/dev, of interfaces by their index. */
function devpaths() {
  const found = {};
  for (const [kind, directory] of [['b', 'block'], ['c', 'char']]) {
    for (const name of readdirSync(`/sys/dev/${directory}`)) found[`${kind}${name}`] = absolute(readlinkSync(`/sys/dev/${directory}/${name}`));
  }
  for (const name of readdirSync('/sys/class/net')) {
    const link = `/sys/class/net/${name}`;
    if (lstatSync(link).isSymbolicLink()) found[`n${readFileSync(`${link}/ifindex`, 'utf8').trim()}`] = absolute(readlinkSync(link));
  }
  for (const name of readdirSync('/run/udev/data').filter((file) => file.startsWith('+'))) {
    const [, subsystem, sysname] = /^\+([^:]*):(.*)$/.exec(name) ?? [];
    const link = [`/sys/bus/${subsystem}/devices/${sysname}`, `/sys/class/${subsystem}/${sysname}`].find((path) => existsSync(path));
    if (link !== undefined) found[name] = absolute(readlinkSync(link));
  }
  return found;
}

function absolute(target) {
  return target.replace(/^(?:\.\.\/)+/, '/');
}

const [, , out] = process.argv;
writeFileSync(out, JSON.stringify({
  dev: tree('/dev', device),
  run: tree('/run/udev', file),
  devpaths: devpaths(),
  modules: readFileSync('/proc/modules', 'utf8').split('\n').filter(Boolean).map((line) => line.split(' ')[0]).sort(),
}));
