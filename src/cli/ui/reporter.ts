import { cutText } from "../../base/print-value.ts";
import { formatSize } from "../../base/size.ts";
import type { RunEvent } from "../../engine/events.ts";
import { nearMapsText } from "../../engine/near-maps.ts";
import { type TextStream, type World, say } from "../world.ts";
import {
  type ProgressModel,
  applyEvent,
  emptyProgress,
  partialLines,
  phaseEndLine,
  progressLines,
} from "./progress.ts";
import { type Style, escapeForeign, ownSequence } from "./style.ts";
import { formatCount, formatDuration, padText, plural, textWidth, truncateText } from "./text.ts";

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

/** Every event as it is, one JSON object a line. */
function jsonReporter(stream: TextStream): Reporter {
  return {
    onEvent: (event) => say(stream, `${JSON.stringify(event)}\n`),
    say: () => undefined,
    end: () => undefined,
  };
}

const REDRAW_MS = 125;
/** A job that is done sooner than this draws no live lines: they would only flicker. */
const FIRST_DRAW_MS = 250;
/** Where nothing is drawn over, partial results are told this often, and so wide. */
const PARTIAL_MS = 10_000;
const PARTIAL_COLUMNS = 200;
/** Failed attempts said one by one; a job with more has them in its history. */
const FAILURES_SAID_MAX = 10;
/** Of the message of each; the report at the end has more. */
const retryCharsMax = 500;

/**
 * A lasting line per phase, failed attempt and line of user output; on a terminal also a live line per
 * running phase.
 */
function lineReporter(world: World, style: Style): Reporter {
  const { stderr, clock } = world;
  const live = stderr.isTTY === true && world.env["TERM"] !== "dumb";
  const region: LiveRegion | undefined = live ? liveRegion(stderr) : undefined;
  // Of a job one; of a pipeline one of each step that has begun.
  const models = new Map<string, ProgressModel>([["", emptyProgress()]]);
  /** A line for each transfer that runs. */
  const transfers = new Map<string, string>();
  const startedMs = clock.nowMs();
  const tell = (text: string): void => {
    if (region === undefined) say(stderr, `${text}\n`);
    else region.above(`${text}\n`);
  };
  const redraw = (): void => {
    const elapsed = clock.nowMs() - startedMs;
    if (elapsed < FIRST_DRAW_MS) return;
    const columns = Math.max(10, (stderr.columns ?? 80) - 1);
    const isRunning = ([, model]: readonly [string, ProgressModel]): boolean =>
      [...model.phases.values()].some((phase) => phase.elapsedMs === null);
    const lines = [...models].flatMap((one) => {
      const [step, model] = one;
      const prefix = stepPrefix(step, models);
      const room = columns - prefix.length;
      const partial = isRunning(one) ? partialLines(model, room, style) : [];
      return [...progressLines(model, elapsed, room, style), ...partial].map(
        (line) => style.dim(prefix) + line,
      );
    });
    region?.draw([...lines, ...transfers.values()]);
  };
  let partialMs = startedMs;
  const timer = region === undefined ? undefined : setInterval(redraw, REDRAW_MS);
  timer?.unref();
  const forget = world.onExit(() => region?.end());

  return {
    onEvent(event) {
      const { step = "" } = event;
      let model = models.get(step);
      // A step that runs again, as the rounds of a loop do, begins anew.
      if (model === undefined || event.kind === "step-started") models.set(step, (model = emptyProgress()));
      applyEvent(model, event);
      if (event.kind === "transferred") transfers.set(step, transferLine(event, step));
      if (event.kind === "step-finished") transfers.delete(step);
      if (event.kind === "partial" && region === undefined && clock.nowMs() - partialMs >= PARTIAL_MS) {
        partialMs = clock.nowMs();
        tell(partialLines(model, PARTIAL_COLUMNS, style).join("\n"));
      }
      const line = lastingLine(event, model, style);
      if (line === undefined) return;
      // The live line of a phase that has ended goes before its lasting one comes.
      if (event.kind === "phase-finished") redraw();
      const prefix = stepPrefix(step, models);
      tell(
        prefix === ""
          ? line
          : line
              .split("\n")
              .map((one) => style.dim(prefix) + one)
              .join("\n"),
      );
    },
    say: tell,
    end() {
      clearInterval(timer);
      region?.end();
      forget();
    },
  };
}

/** What stands before the lines of a step: its name, as wide as the longest that has begun. */
function stepPrefix(step: string, models: ReadonlyMap<string, ProgressModel>): string {
  if (step === "") return "";
  return `${padText(step, Math.max(...[...models.keys()].map((name) => textWidth(name))))}  `;
}

function lastingLine(event: RunEvent, model: ProgressModel, style: Style): string | undefined {
  switch (event.kind) {
    case "job-started":
      if (event.step !== undefined) return undefined;
      return style.dim(`job     ${event.jobId}`);
    case "planned":
      return planLine(event);
    case "task-explained":
      return explainLine(event);
    case "steps-planned":
      return `steps   ${event.steps.map(({ name, why }) => (why === null ? `${name} (done before)` : name)).join(", ")}`;
    case "step-started":
      return event.why === "it has not run yet" ? undefined : `again   ${event.why}`;
    case "step-finished":
      return stepEndLine(event, style);
    case "phase-finished": {
      const phase = [...model.phases.values()].find((view) => view.phase === event.phase);
      return phase === undefined ? undefined : phaseEndLine(phase);
    }
    case "attempt-failed":
      return event.willRetry ? retryLine(event, model, style) : undefined;
    case "log":
      return event.stream === "log" ? undefined : logLines(event, style);
    case "source-stopped": {
      const why = event.by === "time" ? "its time is over" : "its stop condition is true";
      return `stop    ${why}: ${plural(event.records, "record")} made`;
    }
    case "warning":
      return `${style.yellow("warning:")} ${event.message}`;
    case "waiting":
      return `${style.dim("queue")}   waits for ${event.for}`;
    case "hosted": {
      const page = event.url === null ? "" : `  ${escapeForeign(event.url)}`;
      return `${style.dim(event.engine)}  ${escapeForeign(event.id)}${page}`;
    }
    case "maps-placed":
      return nearMapsText(event);
    default:
      return undefined;
  }
}

function explainLine({ task, runs, why, input }: Extract<RunEvent, { kind: "task-explained" }>): string {
  const about = input === "" ? "" : `  ${escapeForeign(input)}`;
  return `${task}  ${runs ? "runs" : "kept"}${about}: ${escapeForeign(why)}`;
}

function transferLine(event: Extract<RunEvent, { kind: "transferred" }>, step: string): string {
  const { files, filesDone, bytes, bytesDone } = event;
  const percent = bytes === 0 ? 100 : Math.floor((bytesDone / bytes) * 100);
  return `${step}  ${percent}%  ${filesDone}/${plural(files, "file")}  ${formatSize(bytesDone)} of ${formatSize(bytes)}`;
}

function stepEndLine(event: Extract<RunEvent, { kind: "step-finished" }>, style: Style): string {
  const { status, recordsIn, recordsOut, elapsedMs, message } = event;
  if (status !== "SUCCEEDED")
    return `${style.red(status === "FAILED" ? "failed" : "ended")}  ${message ?? ""}`;
  const facts = [
    formatDuration(elapsedMs),
    `${plural(recordsIn, "record")} in`,
    `${formatCount(recordsOut)} out`,
  ];
  return `${style.green("done")}    ${facts.join("  ")}`;
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
  const line = `plan    ${input}  ${tasks.join(", ")}`;
  const { incremental } = event;
  if (incremental === undefined) return line;
  const { full, keptTasks, keptBytes } = incremental;
  if (full !== null) return `${line}\nplan    all of it is mapped: ${full}`;
  const kept = `${plural(keptTasks, "map task")} of the run before kept`;
  return `${line}\nplan    ${kept}, ${formatSize(keptBytes)} not read again`;
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

const HIDE_CURSOR = ownSequence("?25l");
const SHOW_CURSOR = ownSequence("?25h");

/**
 * The last few lines of a terminal, drawn over and over in place, with other text going out above them. After
 * `end()` the region is gone and the cursor is back.
 */
export interface LiveRegion {
  /** Replaces the region's lines; none leaves nothing. */
  draw(lines: readonly string[]): void;
  /** Writes lasting text (whole lines) above the region. */
  above(text: string): void;
  end(): void;
}

export function liveRegion(stream: TextStream): LiveRegion {
  let drawn: readonly string[] = [];
  let hidden = false;

  // The terminal may have been narrowed since the lines were drawn: they then wrap, and take more rows than
  // lines.
  const erase = (): string => {
    if (drawn.length === 0) return "";
    const columns = Math.max(1, stream.columns ?? 80);
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(textWidth(line) / columns)), 0);
    return ownSequence("G") + ownSequence(`${rows}A`) + ownSequence("J");
  };

  const paint = (lines: readonly string[]): string => {
    // One column stays free, since a full line makes some terminals wrap.
    const columns = Math.max(1, (stream.columns ?? 80) - 1);
    drawn = lines.map((line) => truncateText(escapeForeign(line), columns));
    return drawn.map((line) => `${line}\n`).join("");
  };

  return {
    draw(lines) {
      const show = lines.length > 0 && !hidden ? HIDE_CURSOR : "";
      hidden ||= lines.length > 0;
      const text = show + erase() + paint(lines);
      if (text !== "") say(stream, text);
    },
    above(text) {
      const lines = drawn;
      say(stream, erase() + text + paint(lines));
    },
    end() {
      const text = erase() + (hidden ? SHOW_CURSOR : "");
      drawn = [];
      hidden = false;
      if (text !== "") say(stream, text);
    },
  };
}
