// The order of dependencies: modules before what they need, and the circles that make such an order impossible.

export type SortResult =
  | { readonly kind: 'sorted'; /** For each module all that it needs, users before what they use. */ readonly needs: readonly (readonly number[])[] }
  | { readonly kind: 'cycles'; readonly cycles: readonly (readonly number[])[]; /** Modules that are in some circle. */ readonly count: number };

/** Steps of the search for circles to tell of: among densely linked modules there are more circles than anyone reads. */
const MAX_CYCLE_STEPS = 100_000;
const MAX_CYCLES = 1000;

/**
 * From direct needs to all needs. The order is that of kmod: a stack that begins with the modules nobody uses, in order;
 * the last one on it goes next, and puts what it was the last user of on top.
 */
export function sortDependencies(direct: readonly (readonly number[])[]): SortResult {
  const users = new Uint32Array(direct.length);
  for (const needs of direct) for (const need of needs) users[need] = (users[need] ?? 0) + 1;
  const stack: number[] = [];
  users.forEach((count, module) => {
    if (count === 0) stack.push(module);
  });
  const position = new Int32Array(direct.length);
  let sorted = 0;
  for (let module = stack.pop(); module !== undefined; module = stack.pop()) {
    position[module] = sorted++;
    for (const need of direct[module] ?? []) {
      const left = (users[need] ?? 0) - 1;
      users[need] = left;
      if (left === 0) stack.push(need);
    }
  }
  if (sorted < direct.length) return findCycles(direct, [...users.keys()].filter((module) => users[module] !== 0));
  return { kind: 'sorted', needs: closures(direct, position) };
}

function closures(direct: readonly (readonly number[])[], position: Int32Array): number[][] {
  const seenBy = new Int32Array(direct.length).fill(-1);
  return direct.map((needs, module) => {
    const all: number[] = [];
    const stack = [...needs];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (seenBy[next] === module) continue;
      seenBy[next] = module;
      all.push(next);
      for (const need of direct[next] ?? []) stack.push(need);
    }
    return all.length < 2 ? all : all.sort((a, b) => (position[a] ?? 0) - (position[b] ?? 0));
  });
}

/** The circles through the first of the unsorted modules, then those through the first that is in none of these, and so on. */
function findCycles(direct: readonly (readonly number[])[], unsorted: readonly number[]): SortResult {
  const cycles: number[][] = [];
  const told = new Set<number>();
  const budget = { steps: MAX_CYCLE_STEPS };
  for (const root of unsorted) {
    if (told.has(root)) continue;
    for (const cycle of cyclesThrough(root, direct, budget)) {
      if (cycles.length < MAX_CYCLES) cycles.push(cycle);
      for (const module of cycle) told.add(module);
    }
  }
  return { kind: 'cycles', cycles, count: unsorted.filter((module) => told.has(module) || reaches(module, module, direct)).length };
}

/** Simple paths from `root` back to it. The last need is followed first. */
function* cyclesThrough(root: number, direct: readonly (readonly number[])[], budget: { steps: number }): Generator<number[]> {
  const path = [root];
  const onPath = new Set(path);
  const pending = [[...direct[root] ?? []]];
  while (pending.length > 0) {
    if (--budget.steps < 0) return;
    const next = pending.at(-1)?.pop();
    if (next === undefined) {
      pending.pop();
      onPath.delete(path.pop() ?? root);
    } else if (next === root) {
      yield [...path];
    } else if (!onPath.has(next)) {
      path.push(next);
      onPath.add(next);
      pending.push([...direct[next] ?? []]);
    }
  }
}

function reaches(from: number, to: number, direct: readonly (readonly number[])[]): boolean {
  const seen = new Set<number>();
  const stack = [...direct[from] ?? []];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (next === to) return true;
    if (seen.has(next)) continue;
    seen.add(next);
    for (const need of direct[next] ?? []) stack.push(need);
  }
  return false;
}
