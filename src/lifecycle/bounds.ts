/**
 * The keys that begin partitions 1, 2, ... of a total order, chosen from a sample so that each partition gets
 * about as
 * many of the sampled keys. Depends on the multiset of keys only, not on their order. With fewer distinct
 * keys than
 * partitions there are fewer bounds, and the last partitions stay empty.
 * @param keys encoded keys in base64; @returns encoded keys in base64, strictly ascending by bytes
 */
export function chooseBounds(keys: readonly string[], partitions: number): string[] {
  const sorted = keys.map((key) => Buffer.from(key, "base64")).sort(Buffer.compare);
  const bounds: Buffer[] = [];
  for (let partition = 1; partition < partitions; partition++) {
    const candidate = sorted[Math.floor((partition * sorted.length) / partitions)];
    const last = bounds.at(-1) ?? sorted[0];
    if (candidate !== undefined && last !== undefined && Buffer.compare(candidate, last) > 0)
      bounds.push(candidate);
  }
  return bounds.map((bound) => bound.toString("base64"));
}
