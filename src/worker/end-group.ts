import { process } from "../base/own-globals.ts";
/** Ends every process of the group that the process leads; nothing happens when it leads none. */
export function endGroup(pid: number | undefined): void {
  if (pid !== undefined) endProcess(-pid);
}

/** Ends a process that may have ended already. */
export function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has.
  }
}

/** Ends this process at once, and what user code has started when it leads a group of its own. */
export function endThisProcess(): void {
  endGroup(process.pid);
  process.kill(process.pid, "SIGKILL");
}
