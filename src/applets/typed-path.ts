// Paths of the command line, as kmod shows them.

/** The working directory before a relative one, `./` and all; nothing else changes. */
export function absolutePath(typed: string): string {
  return typed.startsWith('/') ? typed : `${process.cwd()}/${typed}`;
}
