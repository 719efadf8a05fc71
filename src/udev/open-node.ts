// Opening a device node without waiting for it.

import { open } from 'node:fs';
import { promisify } from 'node:util';

/**
 * open(2) on a thread; the caller closes the descriptor. For a node without a driver the kernel asks for a module first
 * (`char-major-10-234`, `block-major-…`), and may ask the daemon that opens it: its event loop must not stand still meanwhile.
 */
export const openNode: (path: string, flags: number | string) => Promise<number> = promisify(open);
