// The two options that every applet answers before anything else: --help and --version.

import { VERSION } from '../version.ts';
import type { AppletContext } from './applet.ts';

/** Prints what --help or --version ask for, help first. True when one was given: then the applet is done, with exit code 0. */
export function answersHelp(given: { has(name: string): boolean }, help: string, context: AppletContext): boolean {
  if (!given.has('help') && !given.has('version')) return false;
  context.stdout(given.has('help') ? help : `tsmodprobe ${VERSION}\n`);
  return true;
}
