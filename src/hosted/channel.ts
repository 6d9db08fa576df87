import { writeSync } from "node:fs";
import { errnoOf } from "../storage/fs-error.ts";
import type { TaskFailure } from "../task/task-spec.ts";
import { FrameWriter } from "./frames.ts";
import { failureMark, reporterMark } from "./reports.ts";

/* What run.sh has left of the standard streams: data on descriptors of its own, people's words on stderr. */

const dataIn = 4;
const dataOut = 3;

/** Where frames come from and go to. */
export interface DataChannel {
  readonly input: number;
  readonly output: FrameWriter;
}

/** Node has them closed in all programs that it starts, so that none keeps them open or writes to them. */
export function takeChannel(): DataChannel {
  return { input: dataIn, output: new FrameWriter(dataOut) };
}

/** Engines pass on only so much of what a task printed last: the failure has to fit, bytes. */
const failureBytesMax = 6_000;
/** Lines that engines, and those who look for failures, take for more than words. */
const commands = new RegExp(`^(?=${reporterMark}|${failureMark.trim()})`, "gm");

/** Prints what user code has printed. It gives the engine no commands, and reports no failures. */
export function printLines(text: string): void {
  say(text.replace(commands, " "));
}

/** What a task that runs says of itself: engines take it for a sign of life. */
export function tellStatus(status: string): void {
  say(`${reporterMark}status:${status.replaceAll(/\s+/g, " ").slice(0, 200)}`);
}

/** A failure with the task it is of, "" where that is not known. */
export interface ChannelFailure extends TaskFailure {
  readonly task: string;
}

/** The last line of a task that fails: all of the failure, as far as it fits. */
export function tellFailure(task: string, failure: TaskFailure): void {
  tellStatus(`sheaf ${task} failed: ${failure.code} ${failure.message}`);
  say(failureMark + failureText({ ...failure, task }));
}

export function failureText(failure: ChannelFailure): string {
  let cut = failure;
  for (let charsMax = 4_000; ; charsMax = Math.floor(charsMax / 2)) {
    const text = JSON.stringify(cut);
    if (Buffer.byteLength(text) <= failureBytesMax || charsMax === 0) return text;
    const short = <T extends string | null>(one: T): T =>
      (one !== null && one.length > charsMax ? `${one.slice(0, charsMax)}...` : one) as T;
    cut = {
      ...failure,
      message: short(failure.message),
      hint: short(failure.hint),
      stack: short(failure.stack),
      path: failure.path,
      record: short(failure.record),
      key: short(failure.key),
      // The engine has them above, whole.
      log: [],
    };
  }
}

function say(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(2, bytes, done);
    } catch (error) {
      // Nobody listens any more.
      if (errnoOf(error) !== "EAGAIN") return;
    }
  }
}
