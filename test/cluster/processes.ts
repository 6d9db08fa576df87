import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/* What the system says of processes: so tests find the workers of an agent, and whether any are left. */

/** Process ids of all descendants, as far as they can be seen now. */
export function descendantsOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const one of allPids()) {
    const parent = parentOf(one);
    if (parent === null) continue;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [one]);
    else siblings.push(one);
  }
  const found: number[] = [];
  const look = (parent: number): void => {
    for (const child of children.get(parent) ?? []) {
      found.push(child);
      look(child);
    }
  };
  look(pid);
  return found;
}

/** Whether it runs (a process that has ended and was not waited for does not). */
export function isRunning(pid: number): boolean {
  const stat = statOf(pid);
  return stat !== null && stat.state !== "Z" && stat.state !== "X";
}

/** Processes whose command line holds the text. */
export function processesWith(text: string): number[] {
  return allPids().filter((pid) => pid !== process.pid && isRunning(pid) && commandOf(pid).includes(text));
}

/** Resident memory in bytes; 0 when it is gone. */
export function residentBytesOf(pid: number): number {
  try {
    const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
    return line === null ? 0 : Number(line[1]) * 1024;
  } catch {
    return 0;
  }
}

/** Local addresses, as "hex:port", of sockets that listen. */
export function listeningAddresses(pid: number): string[] {
  const inodes = socketInodesOf(pid);
  const found: string[] = [];
  for (const table of ["tcp", "tcp6"]) {
    for (const line of readOr(`/proc/${pid}/net/${table}`, "").split("\n").slice(1)) {
      const fields = line.trim().split(/\s+/);
      if (fields[3] === "0A" && inodes.has(fields[9] ?? "")) found.push(fields[1]!);
    }
  }
  return found;
}

function socketInodesOf(pid: number): Set<string> {
  const inodes = new Set<string>();
  for (const fd of readdirOr(`/proc/${pid}/fd`)) {
    const match = /^socket:\[(\d+)\]$/.exec(readlinkOr(`/proc/${pid}/fd/${fd}`));
    if (match !== null) inodes.add(match[1]!);
  }
  return inodes;
}

function allPids(): number[] {
  return readdirOr("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function parentOf(pid: number): number | null {
  return statOf(pid)?.parent ?? null;
}

function statOf(pid: number): { readonly state: string; readonly parent: number } | null {
  const text = readOr(`/proc/${pid}/stat`, "");
  // The name in parentheses may hold anything.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields.length < 3 ? null : { state: fields[0]!, parent: Number(fields[1]) };
}

function commandOf(pid: number): string {
  return readOr(`/proc/${pid}/cmdline`, "").replaceAll("\0", " ");
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return otherwise;
  }
}

function readdirOr(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readlinkOr(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
