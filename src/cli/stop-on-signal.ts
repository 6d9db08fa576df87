import { SheafError } from "../base/errors.ts";
import type { Reporter } from "./ui/reporter.ts";
import type { World } from "./world.ts";

export interface Stop {
  readonly signal: AbortSignal;
  /** What stopped it, as people call it: "Ctrl-C". Undefined while nothing has. */
  by(): string | undefined;
  /** Signals do again what they do by default. */
  release(): void;
}

/**
 * The first SIGINT, SIGTERM or SIGHUP aborts; the second ends the process at once, by that signal.
 * @param farewell what is said at the first. Default: that what was written is removed.
 */
export function stopOnSignal(reporter: Reporter, world: World, farewell?: string): Stop {
  const controller = new AbortController();
  let by: string | undefined;
  const release = world.onSignal((name) => {
    if (by !== undefined) {
      reporter.end();
      world.die(name);
      return;
    }
    by = name === "SIGINT" ? "Ctrl-C" : name;
    const what = farewell ?? "stopping, and removing what was written";
    reporter.say(`${what} (${name === "SIGINT" ? "Ctrl-C" : name} again kills at once)`);
    controller.abort(new SheafError("CANCELLED", `stopped by ${by}`));
  });
  return { signal: controller.signal, by: () => by, release };
}
