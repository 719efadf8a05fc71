// How tables of sizes look: names to the left, bytes to the right.

/** Rows of the same length; the second column is of numbers. */
export function table(rows: readonly (readonly string[])[]): string {
  const width = (column: number): number => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0));
  const widths = [width(0), width(1)];
  return rows.map(([name = '', number = '', ...rest]) => `${[name.padEnd(widths[0] ?? 0), number.padStart(widths[1] ?? 0), ...rest].join('  ').trimEnd()}\n`).join('');
}

/** With a unit that leaves one to three digits before the point; below 10 kB all of them. */
export function sizeText(bytes: number): string {
  return bytes < 10_000 ? `${bytes} B` : bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
