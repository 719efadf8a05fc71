// All applets that people call, found in the sources: a new one is in these tests by being there.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Applet } from '../../src/applets/applet.ts';
import { completionApplet } from '../../src/applets/completion.ts';
import { kmodApplet } from '../../src/applets/kmod.ts';

const DIRECTORY = join(import.meta.dirname, '../../src/applets');

/** By their words: `modprobe`, `udevadm info`, `kmod static-nodes`. */
export async function everyApplet(): Promise<ReadonlyMap<string, Applet>> {
  const found = new Map<string, Applet>();
  const nested = new Set<Applet>();
  const modules = await Promise.all(readdirSync(DIRECTORY).filter((name) => name.endsWith('.ts')).map((name) => import(join(DIRECTORY, name)) as Promise<Record<string, unknown>>));
  const all = [...modules.flatMap((module) => Object.values(module).filter(isApplet)), kmodApplet(() => undefined), completionApplet([])];
  for (const applet of all) {
    for (const { name, load } of applet.subcommands ?? []) {
      const command = await load();
      nested.add(command);
      found.set(`${applet.name} ${name}`, command);
    }
  }
  for (const applet of all) if (!nested.has(applet) && applet.name !== 'depmod-worker') found.set(applet.name, applet);
  return found;
}

function isApplet(value: unknown): value is Applet {
  return typeof value === 'object' && value !== null && 'name' in value && 'summary' in value && 'options' in value && 'run' in value;
}
