import type { Key } from "./key.ts";

/** A map that says what it does, so that kernels can do it straight from the bytes of delimited text. */
export interface FieldMap<R, V> {
  (record: R, emit: (key: Key, value: V) => void): void;
  readonly fields: { readonly key: string; readonly value: string | null };
}

/**
 * A map that emits one field of each row as key and, if named, another as value: `map: columns("station",
 * "temperature")`. On a csv or tsv reader with typed columns and a numeric aggregator such as `stats({...})`
 * or `sum()` the rows are never made into JavaScript objects.
 */
export function columns<K extends string, V extends string>(
  key: K,
  value: V,
): <R extends Readonly<Record<K, Key> & Record<V, unknown>>>(
  record: R,
  emit: (key: R[K], value: R[V]) => void,
) => void;
export function columns<K extends string>(
  key: K,
): <R extends Readonly<Record<K, Key>>>(record: R, emit: (key: R[K]) => void) => void;
export function columns(key: string, value?: string): unknown {
  type Row = Readonly<Record<string, unknown>>;
  const map =
    value === undefined
      ? (record: Row, emit: (key: unknown) => void): void => emit(record[key])
      : (record: Row, emit: (key: unknown, value: unknown) => void): void => emit(record[key], record[value]);
  return Object.assign(map, { fields: { key, value: value ?? null } });
}

/** What a map made by `columns()` emits; undefined for any other. */
export function fieldsOf(map: unknown): FieldMap<unknown, unknown>["fields"] | undefined {
  return typeof map === "function" && "fields" in map
    ? (map as FieldMap<unknown, unknown>).fields
    : undefined;
}
