// Numbers that are the same in every run: tests with random input can be repeated.

/** A generator of integers in [0, below) from a seed (a linear congruential generator, the upper bits). */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
