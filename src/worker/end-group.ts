/** Ends every process of the group that the process leads; nothing happens when it leads none. */
export function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // None of them is left.
  }
}

/** Ends this process at once, and what user code has started when it leads a group of its own. */
export function endThisProcess(): void {
  endGroup(process.pid);
  process.kill(process.pid, "SIGKILL");
}
