import type { TextStream } from "../world.ts";
import { say } from "../world.ts";
import type { Reporter } from "./reporter.ts";

/** Every event as it is, one JSON object a line. */
export function jsonReporter(stream: TextStream): Reporter {
  return {
    onEvent: (event) => say(stream, `${JSON.stringify(event)}\n`),
    say: () => undefined,
    end: () => undefined,
  };
}
