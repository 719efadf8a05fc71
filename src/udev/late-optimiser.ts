// When V8 may compile the daemon's code to machine code: not for a coldplug, which is over before that pays.

import { setFlagsFromString } from 'node:v8';

/**
 * More than a coldplug of a common machine has. So many times code must run before compiling it pays; natively it is about even there, and
 * under an emulator, which has to translate every new piece of machine code, a coldplug without the compilers takes a quarter less.
 */
const EVENTS_BEFORE = 2000;

/** Both compilers behind V8's interpreter: of single functions as they are, and of hot ones with what was seen of them. */
const COMPILERS = ['sparkplug', 'opt'];

/** Stops V8's compilers. The returned function is to be called after each event, and starts them when there were enough. */
export function postponeOptimising({ events = EVENTS_BEFORE, setFlags = setFlagsFromString } = {}): () => void {
  for (const name of COMPILERS) setFlags(`--no-${name}`);
  let left = events;
  return () => {
    if (--left === 0) for (const name of COMPILERS) setFlags(`--${name}`);
  };
}
