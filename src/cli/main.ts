#!/usr/bin/env node
import { isatty } from "node:tty";
import { systemClock } from "../base/clock.ts";
import { exitCodes } from "./command.ts";
import { dispatch } from "./dispatch.ts";
import { type World, ownStream, unwritable, writeTo } from "./world.ts";

const { stdout, stderr } = process;

// A reader that went away (`sheaf ... | head`) is no error: what was to be written is simply not wanted any
// more. Data that cannot be written is one; what is said to people is lost when there is no place for it.
let dataLost: Error | null = null;
stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") dataLost ??= error;
});
stderr.on("error", () => undefined);

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const world: World = {
  cwd: process.cwd(),
  env: process.env,
  stdinIsTerminal: () => isatty(0),
  stdout: ownStream(stdout),
  stderr: ownStream(stderr),
  clock: systemClock,
  onSignal(callback) {
    for (const signal of SIGNALS) process.on(signal, callback);
    return () => {
      for (const signal of SIGNALS) process.off(signal, callback);
    };
  },
  die(signal) {
    for (const each of SIGNALS) process.removeAllListeners(each);
    process.kill(process.pid, signal);
  },
  onExit(callback) {
    process.on("exit", callback);
    return () => void process.off("exit", callback);
  },
};

const words = process.argv.slice(2);
let code = await dispatch(words, world);
// What is written must be out before the process ends; whatever a job left open (timers, sockets) must not
// keep it.
await Promise.all([writeTo(world.stdout, "").catch(() => false), writeTo(world.stderr, "")]);
if (dataLost !== null && code === exitCodes.ok) {
  const { reportError } = await import("./ui/summary.ts");
  code = await reportError(unwritable(dataLost), words, world);
}
process.exit(code);
