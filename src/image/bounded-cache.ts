// What was read once and may be asked for again, within a bound of memory.

/** Keeps the values that were used last, as long as their weights sum up to no more than a limit. */
export class BoundedCache<Value> {
  readonly #limit: number;
  readonly #weightOf: (value: Value) => number;
  /** In the order of their last use: a Map keeps the order in which keys were set. */
  readonly #values = new Map<number, Value>();
  #weight = 0;

  constructor(options: { readonly limit: number; readonly weightOf: (value: Value) => number }) {
    this.#limit = options.limit;
    this.#weightOf = options.weightOf;
  }

  /** The value of a key, made by `make` unless it is kept. What throws is not kept. */
  get(key: number, make: () => Value): Value {
    const kept = this.#values.get(key);
    if (kept !== undefined) {
      this.#values.delete(key);
      this.#values.set(key, kept);
      return kept;
    }
    const value = make();
    this.#values.set(key, value);
    this.#weight += this.#weightOf(value);
    for (const [oldest, old] of this.#values) {
      if (this.#weight <= this.#limit) break;
      this.#values.delete(oldest);
      this.#weight -= this.#weightOf(old);
    }
    return value;
  }
}
