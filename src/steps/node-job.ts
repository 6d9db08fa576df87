import { chmodSync, copyFileSync, createReadStream, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { SheafError, describeThrown, isSheafError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { KiB } from "../base/size.ts";
import type { TaskContext } from "../job/context.ts";
import type { Job } from "../job/job-plan.ts";
import type { NodePlace, Source } from "../job/reader.ts";
import { checkJob } from "../job/validate.ts";
import type { NodeFile, ReadRange, WantedFile } from "./node-files.ts";
import type { ScriptSpec, TransferSpec } from "./script.ts";

/*
 * What a step does on the machines of a cluster is a job with one task for each agent, so that it is started,
 * told of, ended and found again as any other. Files go there as side data, by content, and come back as
 * results: pairs whose key says which file they are of (NodeKey), the first of a file with its permissions,
 * the others with its bytes, in order.
 */

/** A file that is sent to the agents. Plain data. */
export interface NodeInput {
  /** Where it is put, below the directory of the task. */
  readonly place: string;
  /** Absolute, on the machine that sends it. */
  readonly path: string;
  readonly mode: number;
}

/** What is done on agents. Plain data: it is part of the code that they are given. */
export type NodeTask =
  | {
      readonly kind: "script";
      readonly files: readonly NodeInput[];
      /** Where each input of the script then lies, below the directory of the task. */
      readonly inputs: Readonly<Record<string, string>>;
    }
  /** Which files there are: a ListedFile each. `agents`: none means all. */
  | { readonly kind: "list"; readonly agents: readonly string[]; readonly path: string }
  /** Bytes of files; `output` of the key is the number of the stretch. */
  | { readonly kind: "read"; readonly ranges: readonly ReadRange[] }
  /** Which files are not there as they are wanted; `output` is the number of the file. */
  | { readonly kind: "look"; readonly agents: readonly string[]; readonly files: readonly WantedFile[] }
  /** `source`: absolute, on the machine that sends it. */
  | {
      readonly kind: "write";
      readonly agents: readonly string[];
      readonly files: readonly (WantedFile & { readonly source: string })[];
    };

/** Of a pair that comes back: agent, output, and the file below it; "" for the output itself. */
export type NodeKey = readonly [agent: string, output: string, below: string];

type NodePair = readonly [key: string, value: number | Uint8Array | NodeFile | null];

const chunkBytes = 256 * KiB;
/** Current directory of a script on an agent. */
export const workPlace = "work";
const outPlace = "out";

/** The job that does on agents what a step is to do there. @param outputs of a script */
export function jobOnNodes(spec: ScriptSpec | TransferSpec, task: NodeTask, outputs: readonly string[]): Job {
  switch (task.kind) {
    case "script": {
      if (spec.kind !== "script") throw new SheafError("INTERNAL", "a script for a step that is none");
      const { files, inputs } = task;
      return nodeJob({ names: [], paths: [] }, files, (node, context) => {
        for (const file of files) placeFile(file, node.directory, String(context.aux[file.place]));
        const places = Object.entries(inputs).map(([name, place]) => [name, join(node.directory, place)]);
        return runOnNode(spec, { node, context, outputs, places: Object.fromEntries(places) });
      });
    }
    case "list":
      return nodeJob({ names: task.agents, paths: [task.path] }, [], async function* (node) {
        const { listOnNode } = await import("./node-files.ts");
        for await (const file of listOnNode(task.path, node)) yield [keyOf([node.name, "file", ""]), file];
      });
    case "read":
      return nodeJob(placesOf(task.ranges), [], async function* (node) {
        const { readOnNode } = await import("./node-files.ts");
        for (const [index, range] of task.ranges.entries()) {
          if (range.agent !== node.name) continue;
          const key = keyOf([node.name, String(index), ""]);
          for await (const bytes of readOnNode(range, node, chunkBytes)) yield [key, bytes];
        }
      });
    case "look":
      return nodeJob(placesOf(task.files, task.agents), [], async function* (node) {
        const { isOnNode } = await import("./node-files.ts");
        for (const [index, file] of task.files.entries())
          if (!(await isOnNode(file, node))) yield [keyOf([node.name, String(index), ""]), null];
        yield [keyOf([node.name, "", ""]), null];
      });
    case "write": {
      const sent = task.files.map(({ source }, index) => ({ place: String(index), path: source }));
      return nodeJob(placesOf(task.files, task.agents), sent, async function* (node, context) {
        const { writeOnNode } = await import("./node-files.ts");
        for (const [index, file] of task.files.entries())
          await writeOnNode(file, String(context.aux[String(index)]), node);
        yield [keyOf([node.name, "", ""]), null];
      });
    }
  }
}

/** All directories of the files: agents look at them before anything runs, and at each file when it does. */
function placesOf(
  files: readonly { readonly path: string; readonly agent?: string }[],
  agents: readonly string[] = [],
): Required<Source<unknown>>["nodes"] {
  const named = files.flatMap(({ agent }) => (agent === undefined ? [] : [agent]));
  return {
    names: [...new Set([...agents, ...named])],
    paths: [...new Set(files.map(({ path }) => dirname(path)))],
  };
}

/** A job that does something on every agent, or on some; its pairs are those that come back. */
function nodeJob(
  nodes: NonNullable<Source<unknown>["nodes"]>,
  files: readonly Pick<NodeInput, "place" | "path">[],
  work: (node: NodePlace, context: TaskContext) => AsyncGenerator<NodePair>,
): Job {
  const input: Source<NodePlace> = {
    kind: "generate",
    tasks: 1,
    nodes,
    records: ({ node }) => {
      if (node === undefined) throw new SheafError("INTERNAL", "a task of an agent, without an agent");
      return [node];
    },
  };
  return checkJob({
    input,
    aux: Object.fromEntries(files.map(({ place, path }) => [place, { file: path, as: "path" }])),
    async *map(node: NodePlace, _emit: unknown, context: TaskContext) {
      // What is waited for may take long without a sign of life: its own limit of time is for that.
      const alive = setInterval(() => context.progress(), 1_000);
      try {
        yield* work(node, context);
      } catch (error) {
        throw onNode(node.name, error);
      } finally {
        clearInterval(alive);
      }
    },
  });
}

function onNode(agent: string, error: unknown): SheafError {
  const told = `agent ${agent}: ${describeThrown(error)}`;
  if (!isSheafError(error))
    return new SheafError("USER_CODE", told, { cause: error, hint: "Look at its log." });
  const { code, hint, details } = error;
  return new SheafError(code, told, { cause: error, hint: hint ?? "Look at its log.", details });
}

function placeFile({ place, mode }: NodeInput, directory: string, copy: string): void {
  const target = join(directory, place);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(copy, target);
  chmodSync(target, mode);
}

interface ScriptOnNode {
  readonly node: NodePlace;
  readonly context: TaskContext;
  readonly outputs: readonly string[];
  /** Of its inputs, by name. */
  readonly places: Readonly<Record<string, string>>;
}

async function* runOnNode(
  spec: ScriptSpec,
  { node, context, outputs, places }: ScriptOnNode,
): AsyncGenerator<NodePair> {
  const [work, out] = [join(node.directory, workPlace), join(node.directory, outPlace)];
  for (const directory of [work, out]) mkdirSync(directory, { recursive: true });
  const [{ runProgram }, { workerEnvironment }] = await Promise.all([
    import("../exec/command.ts"),
    import("../security/worker-environment.ts"),
  ]);
  await runProgram({
    argv: withPlaces(spec.run, places, out),
    directory: work,
    environment: { ...workerEnvironment(process.env), ...spec.env },
    timeoutMs: spec.timeoutMs,
    exitCodes: spec.exitCodes,
    signal: context.signal,
    log: (_stream, line) => context.log(`${node.name}: ${line}`),
    started: () => undefined,
  });
  context.signal.throwIfAborted();
  yield [keyOf([node.name, "", ""]), null];
  for (const { output, below, path } of nodeOutputs(out, outputs)) {
    const key = keyOf([node.name, output, below]);
    yield [key, lstatSync(path).mode & 0o777];
    for await (const chunk of createReadStream(path, { highWaterMark: chunkBytes }))
      yield [key, new Uint8Array(chunk as Buffer)];
  }
}

function keyOf(key: NodeKey): string {
  return JSON.stringify(key);
}

/**
 * The file that a pair is of; `output` "" when it says that all went well there. What comes back was made
 * beside user code: its names must not lead out of the directory that it is put in.
 * @throws SheafError MESSAGE_INVALID
 */
export function readNodeKey(key: string): NodeKey {
  let parts: unknown;
  try {
    parts = JSON.parse(key);
  } catch {
    parts = null;
  }
  const isKey = Array.isArray(parts) && parts.length === 3 && parts.every((one) => typeof one === "string");
  const [agent = "", output = "", below = ""] = isKey ? (parts as string[]) : [];
  const isName = (name: string): boolean => !/[/\0]|^\.{1,2}$/.test(name);
  if (isKey && agent !== "" && isName(agent) && isName(output)) {
    if (below === "" || below.split("/").every((name) => name !== "" && isName(name)))
      return [agent, output, below];
  }
  throw new SheafError("MESSAGE_INVALID", `${printValue(key)} is no file that an agent can have written`, {
    hint: "Nothing was put anywhere. Look at the log of the step: what has written this is not sheaf.",
  });
}

/** The words of a command with the paths of what it reads and writes. */
export function withPlaces(
  run: readonly string[],
  places: Readonly<Record<string, string>>,
  out: string,
): readonly [string, ...string[]] {
  const words = run.map((word) =>
    word.replace(/\{(in|out)\.([\w.-]+)\}/g, (all, kind: string, one: string) =>
      kind === "in" ? (places[one] ?? all) : join(out, one),
    ),
  );
  return words as unknown as readonly [string, ...string[]];
}

/** A file that a script has written. */
export interface NodeOutput {
  readonly output: string;
  /** Below the output; "" where that is the file. */
  readonly below: string;
  readonly path: string;
}

/**
 * The files that a script has written, in order.
 * @throws SheafError USER_CODE for an output that is not there, for what is none, and for what is no file
 */
export function nodeOutputs(directory: string, outputs: readonly string[]): NodeOutput[] {
  const there = readdirSync(directory);
  const stray = there.find((one) => !outputs.includes(one));
  if (stray !== undefined) {
    throw new SheafError("USER_CODE", `it wrote ${stray}, which is none of its outputs`, {
      hint: `Name it: out: { "${stray}": text() }. Or write it elsewhere.`,
    });
  }
  const files: NodeOutput[] = [];
  const visit = (output: string, below: string): void => {
    const path = join(directory, output, below);
    const status = lstatSync(path);
    if (status.isFile()) files.push({ output, below, path });
    else if (status.isDirectory())
      for (const one of readdirSync(path).toSorted()) visit(output, join(below, one));
    else {
      throw new SheafError(
        "USER_CODE",
        `${join(output, below)} of what it wrote is neither a file nor a directory`,
        {
          hint: "Write files and directories of files only.",
        },
      );
    }
  };
  for (const output of outputs) {
    if (there.includes(output)) {
      visit(output, "");
      continue;
    }
    throw new SheafError("USER_CODE", `it has not written its output ${output}, {out.${output}}`, {
      hint: "Let it write there whenever it ends well.",
    });
  }
  return files;
}
