/*
 * Globals as they were before user code came: test libraries replace clocks and timers, polyfills and zones
 * promises, programs made for other places `process`. Modules that run beside user code import them from
 * here. Changes inside built-in objects are found by worker/patched-globals.ts.
 */

export const { Date, Promise, TextDecoder, clearTimeout, process, queueMicrotask, setImmediate, setTimeout } =
  globalThis;
