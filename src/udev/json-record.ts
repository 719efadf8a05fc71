// One line of JSON in a file that we wrote ourselves, and that may have been cut off or written by another version.

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Undefined for what is no JSON, is longer than `maximum`, or is not what it should be. */
export function parseJsonRecord<Value>(line: string, maximum: number, is: (value: unknown) => value is Value): Value | undefined {
  if (line.length > maximum) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
  return is(value) ? value : undefined;
}
