// Everything the WebAssembly module exports. No runtime, no allocation: memory is the caller's, see
// ../layout.ts.
export { hashKey } from "./hash";
export { tableGrow, tableReset, tableUpsert } from "./table";
export { scanWords } from "./words";
export { scanColumns } from "./columns";
export { appendLines } from "./lines";
export { gather, makeEntries } from "./entries";
export { sortEntries } from "./sort";
export { mergeRun, mergeStart } from "./merge";
export { formatText, formatTsv } from "./format";
export { utf8Valid } from "./utf8";
