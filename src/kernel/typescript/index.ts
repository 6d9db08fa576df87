import type { HeapViews } from "../heap.ts";
import type { Kernels } from "../kernels.ts";
import { gather, makeEntries } from "./entries.ts";
import { hashKey } from "./hash.ts";
import { mergeRun, mergeStart } from "./merge.ts";
import { sortEntries } from "./sort.ts";
import { tableGrow, tableReset, tableUpsert } from "./table.ts";

/** The plain TypeScript kernels: the reference that tests hold the WebAssembly ones against, and the fallback. */
export function typescriptKernels(heap: HeapViews): Kernels {
  return {
    hashKey: (key, len) => hashKey(heap, key, len),
    tableReset: (table) => tableReset(heap, table),
    tableGrow: (table) => tableGrow(heap, table),
    tableUpsert: (table, key, len) => tableUpsert(heap, table, key, len),
    scanWords: missing,
    scanColumns: missing,
    appendLines: missing,
    makeEntries: (start, top, entries, skip, partitions) =>
      makeEntries(heap, start, top, entries, skip, partitions),
    sortEntries: (entries, tmp, n, skip) => sortEntries(heap, entries, tmp, n, skip),
    gather: (entries, from, to, out, outEnd, ctl) => gather(heap, entries, from, to, out, outEnd, ctl),
    mergeStart: (merge) => mergeStart(heap, merge),
    mergeRun: (merge, out, outEnd) => mergeRun(heap, merge, out, outEnd),
    formatText: missing,
    formatTsv: missing,
    utf8Valid: missing,
  };
}

function missing(): never {
  throw new Error("not written yet");
}
