import type { Key } from "./key.ts";

/** What `desc()` makes of a key: the same key, sorted the other way round. */
export class Descending {
  readonly key: Key;

  constructor(key: Key) {
    this.key = key;
  }

  /** In messages it is the key. */
  toJSON(): Key {
    return this.key;
  }
}

/**
 * The key, sorted from large to small: `emit(desc(row.price), row)`, or within an array
 * `emit([row.city, desc(row.price)], row)`. All else sees the plain key: reduce, combine, partition, writers.
 * Its type is that of the key, but it is only for `emit`: give it there at once. Wrap all keys of a
 * collection or none: `desc(1)` and `1` are two keys, and plain ones come first.
 */
export function desc<K extends Key>(key: K): K {
  return (key instanceof Descending ? key.key : new Descending(key)) as K;
}

/** The key without what desc() has put around it or its elements; the key itself where there is nothing. */
export function plainKey(key: Key): Key {
  if (typeof key !== "object" || key === null) return key;
  if (key instanceof Descending) return plainKey(key.key);
  if (!Array.isArray(key)) return key;
  const elements = key as readonly Key[];
  return elements.some((element) => plainKey(element) !== element) ? elements.map(plainKey) : key;
}

/** A copy that later changes to the key do not reach. -0 is the key 0. */
export function copyKey(key: Key): Key {
  if (typeof key === "number") return key + 0;
  if (key instanceof Descending) return desc(copyKey(key.key));
  if (key instanceof Uint8Array) return new Uint8Array(key);
  return Array.isArray(key) ? (key as readonly Key[]).map(copyKey) : key;
}
