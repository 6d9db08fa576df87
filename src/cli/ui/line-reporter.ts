import { cutText } from "../../base/print-value.ts";
import { formatSize } from "../../base/size.ts";
import type { RunEvent } from "../../engine/events.ts";
import type { World } from "../world.ts";
import { say } from "../world.ts";
import { liveRegion } from "./live-region.ts";
import type { LiveRegion } from "./live-region.ts";
import { plural } from "./numbers.ts";
import { phaseEndLine, progressLines } from "./progress-lines.ts";
import { applyEvent, emptyProgress } from "./progress-model.ts";
import type { ProgressModel } from "./progress-model.ts";
import type { Reporter } from "./reporter.ts";
import type { Style } from "./style.ts";

const REDRAW_MS = 125;
/** A job that is done sooner than this draws no live lines: they would only flicker. */
const FIRST_DRAW_MS = 250;
/** Failed attempts said one by one; a job with more has them in its history. */
const FAILURES_SAID_MAX = 10;
/** Of the message of each; the report at the end has more. */
const retryCharsMax = 500;

/**
 * A lasting line per phase, failed attempt and line of user output; on a terminal also a live line per
 * running phase.
 */
export function lineReporter(world: World, style: Style): Reporter {
  const { stderr, clock } = world;
  const live = stderr.isTTY === true && world.env["TERM"] !== "dumb";
  const region: LiveRegion | undefined = live ? liveRegion(stderr) : undefined;
  const model = emptyProgress();
  const startedMs = clock.nowMs();
  const tell = (text: string): void => {
    if (region === undefined) say(stderr, `${text}\n`);
    else region.above(`${text}\n`);
  };
  const redraw = (): void => {
    const elapsed = clock.nowMs() - startedMs;
    if (elapsed < FIRST_DRAW_MS) return;
    region?.draw(progressLines(model, elapsed, Math.max(10, (stderr.columns ?? 80) - 1), style));
  };
  const timer = region === undefined ? undefined : setInterval(redraw, REDRAW_MS);
  timer?.unref();
  const forget = world.onExit(() => region?.end());

  return {
    onEvent(event) {
      applyEvent(model, event);
      const line = lastingLine(event, model, style);
      if (line === undefined) return;
      // The live line of a phase that has ended goes before its lasting one comes.
      if (event.kind === "phase-finished") redraw();
      tell(line);
    },
    say: tell,
    end() {
      clearInterval(timer);
      region?.end();
      forget();
    },
  };
}

function lastingLine(event: RunEvent, model: ProgressModel, style: Style): string | undefined {
  switch (event.kind) {
    case "job-started":
      return style.dim(`job     ${event.jobId}`);
    case "planned":
      return planLine(event);
    case "phase-finished": {
      const phase = [...model.phases.values()].find((view) => view.phase === event.phase);
      return phase === undefined ? undefined : phaseEndLine(phase);
    }
    case "attempt-failed":
      return event.willRetry ? retryLine(event, model, style) : undefined;
    case "log":
      return event.stream === "log" ? undefined : logLines(event, style);
    case "warning":
      return `${style.yellow("warning:")} ${event.message}`;
    default:
      return undefined;
  }
}

function planLine(event: Extract<RunEvent, { kind: "planned" }>): string {
  const input =
    event.files > 0
      ? `${plural(event.files, "file")}, ${formatSize(event.bytes)}`
      : event.mapTasks > 0
        ? "generated records"
        : "no data";
  const tasks = [plural(event.mapTasks, "map task")];
  if (event.reduceTasks > 0) tasks.push(plural(event.reduceTasks, "reduce task"));
  return `plan    ${input}  ${tasks.join(", ")}`;
}

function retryLine(
  event: Extract<RunEvent, { kind: "attempt-failed" }>,
  model: ProgressModel,
  style: Style,
): string | undefined {
  if (model.retries > FAILURES_SAID_MAX) return undefined;
  const what = event.outcome === "lost" ? "was lost" : "failed";
  const more = model.retries === FAILURES_SAID_MAX ? " (no more of these are shown; see sheaf show)" : "";
  const why = cutText(event.failure.message.split("\n", 1)[0]!, retryCharsMax);
  return `${style.yellow("retry")}   ${event.task} attempt ${event.attempt} ${what}, trying again: ${why}${more}`;
}

function logLines(event: Extract<RunEvent, { kind: "log" }>, style: Style): string {
  const prefix = style.dim(`[${event.task === "" ? "job" : event.task}]`);
  return event.text
    .split("\n")
    .map((line) => `${prefix} ${line.replaceAll("\r", "")}`)
    .join("\n");
}
