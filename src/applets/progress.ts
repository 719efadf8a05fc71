// One line on a terminal that says how far a work has come, and makes way for other lines.

export interface Progress {
  /** Shows `text` in place of the one before. */
  show(text: string): void;
  /** Writes whole lines above the progress line. */
  print(text: string): void;
  /** Takes the line away. */
  clear(): void;
}

/** Writes nothing of its own where `enabled` is false. Only carriage returns and blanks: every terminal and serial console can. */
export function openProgress(write: (text: string) => void, { enabled }: { readonly enabled: boolean }): Progress {
  let shown = '';
  const erase = (): string => (shown === '' ? '' : `\r${' '.repeat(shown.length)}\r`);
  return {
    show(text) {
      if (!enabled || text === shown) return;
      write(`\r${text.padEnd(shown.length)}`);
      shown = text;
    },
    print(text) {
      write(`${erase()}${text}${shown}`);
    },
    clear() {
      const erasing = erase();
      shown = '';
      if (erasing !== '') write(erasing);
    },
  };
}
