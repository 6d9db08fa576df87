import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { SheafError } from "../base/errors.ts";
import type { RunResult } from "../engine/run-result.ts";
import { type NodeTask, readNodeKey, type NodeInput, workPlace } from "../steps/node-job.ts";
import type { ScriptSpec } from "../steps/script.ts";
import { asSheafError } from "../storage/fs-error.ts";
import { placeBelow } from "./stored-transfer.ts";

/**
 * What an agent is sent to run a script: what it reads, and the files among its words, as the directory of
 * the pipeline has them.
 * @param places of its inputs, by name: absolute paths of this machine
 * @throws SheafError USAGE for a file of its words that lies elsewhere; INPUT_UNREADABLE
 */
export function scriptTask(
  spec: ScriptSpec,
  file: string,
  places: Readonly<Record<string, string>>,
): NodeTask {
  const base = dirname(file);
  const files: NodeInput[] = [];
  const inputs: Record<string, string> = {};
  for (const [name, path] of Object.entries(places)) {
    const isDirectory = statSync(path).isDirectory();
    inputs[name] = isDirectory ? join("in", name) : join("in", name, basename(path));
    send(files, path, inputs[name]);
  }
  for (const word of spec.run) {
    const path = resolve(base, word);
    const isFile = !word.startsWith(sep) && statSync(path, { throwIfNoEntry: false })?.isFile() === true;
    const below = relative(base, path);
    // A name without a directory is that of a program in PATH, first of all.
    if (!isFile || (word === spec.run[0] && !word.includes("/"))) continue;
    if (below === ".." || below.startsWith(`..${sep}`)) {
      throw new SheafError(
        "USAGE",
        `script.run: ${word} lies outside of ${base}, and is not sent to the agents`,
        {
          hint: 'Name it as an input: in: { file: "../..." } and {in.file}. Or give an absolute path that each agent has.',
        },
      );
    }
    send(files, path, join(workPlace, below));
  }
  return { kind: "script", files: [...new Map(files.map((one) => [one.place, one])).values()], inputs };
}

/** A file, or all below a directory. */
function send(files: NodeInput[], path: string, place: string): void {
  try {
    const status = statSync(path);
    if (!status.isDirectory()) files.push({ place, path, mode: status.mode & 0o777 });
    else for (const one of readdirSync(path).toSorted()) send(files, join(path, one), join(place, one));
  } catch (error) {
    throw asSheafError(error, { path, doing: "read" });
  }
}

/**
 * Puts what the agents have written below a directory: OUTPUT/AGENT, a file or a directory.
 * @returns the agents that have run it
 */
export async function takeOutputs(
  result: RunResult,
  outputs: readonly string[],
  out: string,
): Promise<string[]> {
  for (const output of outputs) mkdirSync(join(out, output), { recursive: true });
  const agents: string[] = [];
  let open: { readonly path: string; readonly descriptor: number } | null = null;
  const close = (): void => {
    if (open !== null) closeSync(open.descriptor);
    open = null;
  };
  try {
    for await (const [key, value] of result.records()) {
      const [agent, output, below] = readNodeKey(String(key));
      // They come over the wire: none may lead elsewhere.
      const isPlace = below === "" || placeBelow(below, below) === below;
      if (placeBelow(agent, agent).includes("/") || !isPlace || !["", ...outputs].includes(output)) {
        throw new SheafError("MESSAGE_INVALID", `agent ${agent} has sent what was not asked for`, {
          hint: "Use the same version of sheaf everywhere.",
        });
      }
      if (output === "") {
        agents.push(agent);
        continue;
      }
      if (typeof value === "number") {
        close();
        const path = join(out, output, agent, below);
        mkdirSync(dirname(path), { recursive: true });
        open = { path, descriptor: openSync(path, "wx") };
        chmodSync(path, value | 0o600);
      } else if (open !== null) writeAll(open.descriptor, value as Uint8Array);
    }
  } catch (error) {
    throw asSheafError(error, { path: out, doing: "write" });
  } finally {
    close();
  }
  return agents;
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
}
