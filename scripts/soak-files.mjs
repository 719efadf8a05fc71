// What the guest of the soak reads: directories that change while they are read, and the aliases of modules.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A reader of modules.alias, which knows the answer to a modalias that it was asked before. */
export function aliasReader(text) {
  const patterns = text.split('\n').filter((line) => line.startsWith('alias ')).map((line) => line.split(' ').slice(1));
  const known = new Map();
  return (modalias) => {
    let answer = known.get(modalias);
    if (answer === undefined) {
      const bus = `${modalias.split(':')[0]}:`;
      answer = [...new Set(patterns.filter(([pattern = '']) => pattern.startsWith(bus) && glob(pattern).test(modalias)).map(([, module = '']) => module))];
      known.set(modalias, answer);
    }
    return answer;
  };
}

function glob(pattern) {
  return new RegExp(`^${pattern.replaceAll(/[.+^${}()|\\]/g, String.raw`\$&`).replaceAll('*', '.*').replaceAll('?', '.')}$`);
}

/** Directories below, without links; what vanishes meanwhile is left out. */
export function walk(directory, visit) {
  let entries;
  try {
    entries = readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (isGone(error)) return;
    throw error;
  }
  visit(directory, new Set(entries.map(({ name }) => name)));
  for (const entry of entries) if (entry.isDirectory()) walk(join(directory, entry.name), visit);
}

export function countBelow(directory, counts) {
  let count = 0;
  walk(directory, (path, names) => (count += [...names].filter((name) => counts(name, path)).length));
  return count;
}

export function linksBelow(directory) {
  const found = [];
  walk(directory, (path, names) => found.push(...[...names].map((name) => join(path, name))));
  return found;
}

export function child(directory, pattern) {
  const name = list(directory).find((entry) => pattern.test(entry));
  return name === undefined ? undefined : join(directory, name);
}

export function list(directory) {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

export function link(path) {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isGone(error)) return '';
    throw error;
  }
}

export function readText(path) {
  try {
    return statSync(path).isDirectory() ? undefined : readFileSync(path, 'utf8');
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function isGone(error) {
  return ['ENOENT', 'ENODEV', 'ENOTDIR', 'ENXIO', 'EINVAL', 'EIO', 'EACCES'].includes(error.code);
}
