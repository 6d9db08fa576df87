import type { HeapViews, Kernels } from "../kernels.ts";
import { scanColumns } from "./columns.ts";
import { gather, makeEntries } from "./entries.ts";
import { formatText, formatTsv } from "./format.ts";
import { hashKey } from "./hash.ts";
import { appendLines } from "./lines.ts";
import { mergeRun, mergeStart } from "./merge.ts";
import { sortEntries } from "./sort.ts";
import { tableGrow, tableReset, tableUpsert } from "./table.ts";
import { firstInvalid } from "./utf8.ts";
import { scanWords } from "./words.ts";

/**
 * The plain TypeScript kernels: the reference that tests hold the WebAssembly ones against, and the
 * fallback.
 */
export function typescriptKernels(heap: HeapViews): Kernels {
  return {
    hashKey: (key, len) => hashKey(heap, key, len),
    tableReset: (table) => tableReset(heap, table),
    tableGrow: (table) => tableGrow(heap, table),
    tableUpsert: (table, key, len) => tableUpsert(heap, table, key, len),
    scanWords: (table, ctl, ptr, end, flags) => scanWords(heap, table, ctl, ptr, end, flags),
    scanColumns: (table, ctl, ptr, end, columns, flags) =>
      scanColumns(heap, table, ctl, ptr, end, columns, flags),
    appendLines: (arena, ctl, ptr, end, flags) => appendLines(heap, arena, ctl, ptr, end, flags),
    makeEntries: (start, top, entries, skip, partitions) =>
      makeEntries(heap, start, top, entries, skip, partitions),
    sortEntries: (entries, tmp, n, skip) => sortEntries(heap, entries, tmp, n, skip),
    gather: (entries, from, to, out, outEnd, ctl) => gather(heap, entries, from, to, out, outEnd, ctl),
    mergeStart: (merge) => mergeStart(heap, merge),
    mergeRun: (merge, out, outEnd) => mergeRun(heap, merge, out, outEnd),
    formatText: (ptr, end, out, outEnd, ctl) => formatText(heap, ptr, end, out, outEnd, ctl),
    formatTsv: (ptr, end, out, outEnd, ctl) => formatTsv(heap, ptr, end, out, outEnd, ctl),
    utf8Valid: (ptr, len) => (firstInvalid(heap.u8, ptr, ptr + len) === ptr + len ? 1 : 0),
  };
}
