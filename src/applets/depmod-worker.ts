// What depmod runs as its threads in the one-file CLI: not for people.

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
    await serveDepmod(parentPort);
    return 0;
  },
};
