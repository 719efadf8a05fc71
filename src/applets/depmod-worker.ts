// What depmod runs as its threads in the one-file CLI: not for people.

import { setFlagsFromString } from 'node:v8';
import { parentPort } from 'node:worker_threads';

import { serveDepmod } from '../kmod/depmod-worker.ts';
import type { Applet } from './applet.ts';

export const depmodWorker: Applet = {
  name: 'depmod-worker',
  summary: 'a thread of depmod',
  options: [],
  async run(_argv, context) {
    if (!parentPort) {
      context.stderr(`${context.program}: this is a part of depmod, which starts it itself\n`);
      return 1;
    }
    parentPort.once('message', compileSparingly);
    await serveDepmod(parentPort);
    return 0;
  },
};

/**
 * For the whole process, once its threads have started: V8's own code from its snapshot is for the flags of the start. Most of what depmod costs
 * over plain modules is the compiling of functions that then run for some tenths of a second, and with all that they call inlined they
 * take twice as long.
 */
function compileSparingly(): void {
  setFlagsFromString('--no-turbo-inlining');
}
