// Work on many things at a time, with the results in the order of the things.

/** What `work` makes of each input, in order. At most `ahead` inputs are taken beyond the one whose result is awaited. `work` must not reject. */
export async function* inOrder<Input, Output>(
  inputs: Iterable<Input>, ahead: number, work: (input: Input) => Promise<Output>,
): AsyncGenerator<Output> {
  const pending: Promise<Output>[] = [];
  for (const input of inputs) {
    pending.push(work(input));
    if (pending.length <= ahead) continue;
    const first = pending.shift();
    if (first) yield await first;
  }
  for (const rest of pending) yield await rest;
}
