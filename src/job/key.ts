/**
 * What a record is grouped and sorted by. Keys are encoded to bytes once, at emit, in an order-preserving
 * way: null < booleans < numbers < strings (by UTF-8 bytes) < bytes < arrays (element by element, shorter
 * first). `1` and `"1"` are different keys; NaN is refused; -0 becomes 0.
 */
export type Key = null | boolean | number | string | Uint8Array | readonly Key[];
