// The two options that every applet answers before anything else: --help and --version.

import { VERSION } from '../version.ts';
import type { AppletContext } from './applet.ts';
import { wrapHelp } from './help-text.ts';

/** Prints what --help or --version ask for, help first. True when one was given: then the applet is done, with exit code 0. */
export function answersHelp(given: { has(name: string): boolean }, help: string, context: AppletContext): boolean {
  if (!given.has('help') && !given.has('version')) return false;
  context.stdout(given.has('help') ? helpFor(help, context) : `tsmodprobe ${VERSION}\n`);
  return true;
}

/** The text of --help, as wide as the terminal; in a pipe as it is. */
export function helpFor(text: string, { isTty }: Pick<AppletContext, 'isTty'>): string {
  return isTty.stdout ? wrapHelp(text, process.stdout.columns || HELP_COLUMNS) : text;
}

/** Of a terminal that does not say. */
const HELP_COLUMNS = 80;
