import { runFlags } from "./run-flags.ts";

const {
  print: _print,
  collect: _collect,
  workers: _workers,
  temp: _temp,
  isolate: _isolate,
  inline: _inline,
  detach: _detach,
  ...rest
} = runFlags;

/** Those of `sheaf run` that say something about a job nobody waits for. */
export const submitFlags = rest;
