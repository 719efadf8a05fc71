// Ours in this process, for thousands of command lines: the same applets on the same machine, without the start of a process each.

import type { Applet, AppletContext } from '../../src/applets/applet.ts';
import { depmodApplet } from '../../src/applets/depmod.ts';
import { insmod } from '../../src/applets/insmod.ts';
import { kmodApplet } from '../../src/applets/kmod.ts';
import { lsmod } from '../../src/applets/lsmod.ts';
import { modinfo } from '../../src/applets/modinfo.ts';
import { modprobe } from '../../src/applets/modprobe.ts';
import { rmmod } from '../../src/applets/rmmod.ts';
import { UsageError } from '../../src/errors.ts';
import { openSystem } from '../../src/system.ts';
import type { Run } from './oracle.ts';

const APPLETS: readonly Applet[] = [modprobe, insmod, rmmod, lsmod, modinfo, depmodApplet, kmodApplet(() => undefined)];

/** As `runOurs`. Text is Latin-1 there and UTF-8 here: for ASCII. */
export async function runHere(tool: string, args: readonly string[]): Promise<Run> {
  const text = { stdout: '', stderr: '' };
  const context: AppletContext = {
    program: tool,
    stdout: (chunk) => void (text.stdout += chunk),
    stderr: (chunk) => void (text.stderr += chunk),
    isTty: { stdout: false, stderr: false },
    env: process.env,
    openSystem,
    terminal: () => undefined,
    signals: () => () => undefined,
  };
  const applet = APPLETS.find(({ name }) => name === tool);
  if (applet === undefined) throw new Error(`${tool} is no tool of kmod`);
  try {
    return { status: await applet.run(args, context), ...text };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { status: 1, stdout: text.stdout, stderr: `${text.stderr}${error.message}\n` };
  }
}
