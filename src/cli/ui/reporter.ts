import type { RunEvent } from "../../engine/events.ts";
import type { World } from "../world.ts";
import { jsonReporter } from "./json-reporter.ts";
import { lineReporter } from "./line-reporter.ts";
import type { Style } from "./style.ts";

/** Tells somebody how a run is going. */
export interface Reporter {
  onEvent(event: RunEvent): void;
  /** A line of the command's own. */
  say(text: string): void;
  /** Nothing is drawn afterwards; the cursor is back. */
  end(): void;
}

export interface ReporterChoice {
  readonly quiet: boolean;
  readonly json: boolean;
  readonly style: Style;
}

const silentReporter: Reporter = { onEvent: () => undefined, say: () => undefined, end: () => undefined };

/** JSON events on standard output, or lines on standard error (live ones on a terminal), or nothing. */
export function makeReporter(choice: ReporterChoice, world: World): Reporter {
  if (choice.json) return jsonReporter(world.stdout);
  if (choice.quiet) return silentReporter;
  return lineReporter(world, choice.style);
}
