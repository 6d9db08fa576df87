import { readFileSync, readdirSync } from "node:fs";
import { KiB } from "../base/size.ts";

/** Memory that a process and those below it have in use, bytes; 0 where the system does not tell. */
export function treeBytes(root: number | undefined): number {
  if (root === undefined) return 0;
  let bytes = 0;
  const waiting = [root];
  const seen = new Set(waiting);
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    try {
      const resident = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
      bytes += Number(resident?.[1] ?? 0) * KiB;
      for (const thread of readdirSync(`/proc/${pid}/task`)) {
        const children = readFileSync(`/proc/${pid}/task/${thread}/children`, "utf8");
        for (const child of children
          .split(" ")
          .filter((one) => one !== "")
          .map(Number)) {
          if (!seen.has(child)) waiting.push(child);
          seen.add(child);
        }
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  return bytes;
}
