import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { createInterface } from "node:readline";
import { SheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { TaskSpec, TaskSuccess } from "../task/task-spec.ts";
import { checkResultOf, readFromWorker } from "../worker/from-worker.ts";
import type { HostMove } from "./host-engine.ts";
import { fileName, type HostedReport } from "./reports.ts";

/** All reports by task. A task that has reported twice, or in a form that is none, is refused. */
export async function readReports(directory: string): Promise<Map<string, HostedReport>> {
  const found = new Map<string, HostedReport>();
  for (const name of await readdir(directory)) {
    if (name.startsWith(".")) continue;
    const input = createReadStream(join(directory, name));
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const report = reportOf(line);
      if (found.has(report.task)) throw damaged(`${report.task} has reported twice`);
      found.set(report.task, report);
    }
  }
  return found;
}

function reportOf(line: string): HostedReport {
  let given: unknown;
  try {
    given = JSON.parse(line);
  } catch {
    throw damaged(`${printValue(line.slice(0, 200))} is no report of a task`);
  }
  const { task, success, sent, received } = (given ?? {}) as Partial<Record<keyof HostedReport, unknown>>;
  if (typeof task !== "string") throw damaged(`a report names no task: ${printValue(line.slice(0, 200))}`);
  const result = readFromWorker({ kind: "result", id: 0, result: success, spoiled: false });
  if (result.kind !== "result" || result.result.kind !== "success") throw damaged(`${task}: no success`);
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (sent !== undefined && !(Array.isArray(sent) && sent.every(isCount)))
    throw damaged(`${task}: "sent" is no list of sizes`);
  const { maps, bytes } = (received ?? { maps: 0, bytes: 0 }) as { maps?: unknown; bytes?: unknown };
  if (!isCount(maps) || !isCount(bytes)) throw damaged(`${task}: "received" is not two numbers`);
  return {
    task,
    success: result.result,
    ...(sent !== undefined && { sent: sent as number[] }),
    received: { maps, bytes },
  };
}

export function addSent(sums: { maps: number; bytes: number }[], { task, sent = [] }: HostedReport): void {
  if (sent.length > sums.length)
    throw damaged(`${task} has sent to ${sent.length} reduces of ${sums.length}`);
  for (const [reduce, bytes] of sent.entries()) {
    if (bytes === 0) continue;
    sums[reduce]!.maps++;
    sums[reduce]!.bytes += bytes;
  }
}

/** What maps have sent and what came must be the same: an engine may take a stream that was cut for whole. */
export function checkReceived({ task, received }: HostedReport, sent: { maps: number; bytes: number }): void {
  const { maps, bytes } = received!;
  if (maps === sent.maps && bytes === sent.bytes) return;
  throw damaged(
    `${task} has got ${bytes} bytes of ${maps} maps, and ${sent.maps} maps have sent it ${sent.bytes} bytes`,
  );
}

export function damaged(problem: string): SheafError {
  return new SheafError("BLOCK_CORRUPT", `the engine's output is not whole: ${problem}`, {
    hint: "Nothing was written. Run the job again; if it comes back, look into the engine's logs of the task.",
    retryable: true,
  });
}

/** The report's success when it is one that the task can have. @throws SheafError MESSAGE_INVALID */
export function checkedSuccess(spec: TaskSpec, { task, success }: HostedReport): TaskSuccess {
  const directory = spec.kind === "sample" ? "" : spec.directory;
  const { output } = success;
  const own: TaskSuccess = {
    ...success,
    output: output === null ? null : { task: output.task, attempt: output.attempt, path: null },
  };
  // As if it had run here: then it can be told by what is checked everywhere.
  const here = withPaths(own, (path) => {
    if (path !== fileName(task, basename(path)))
      throw damaged(`${task}: ${printValue(path)} is no file of it`);
    return join(directory, basename(path));
  });
  checkResultOf(spec, here);
  return own;
}

export function successBelow(base: string, success: TaskSuccess): TaskSuccess {
  return withPaths(success, (path) => join(base, path));
}

function withPaths(success: TaskSuccess, at: (path: string) => string): TaskSuccess {
  const { parts, badPath } = success;
  return {
    ...success,
    parts: parts.map((part) => ({ ...part, path: at(part.path) })),
    badPath: badPath === null ? null : at(badPath),
  };
}

/** What brings the files of a task below `base`, where the success says that they are. */
export function movesOf({ parts, badPath }: TaskSuccess, base: string): HostMove[] {
  const move = (to: string, bytes: number): HostMove => ({ from: relative(base, to), to, bytes });
  return [
    ...parts.map(({ path, bytes }) => move(path, bytes)),
    ...(badPath === null ? [] : [move(badPath, -1)]),
  ];
}
