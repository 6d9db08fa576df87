// Everything the WebAssembly module exports. No runtime, no allocation: memory is the caller's, see ../layout.ts.
export { hashKey } from "./hash";
export { tableGrow, tableReset, tableUpsert } from "./table";
export { gather, makeEntries } from "./entries";
export { sortEntries } from "./sort";
export { mergeRun, mergeStart } from "./merge";
