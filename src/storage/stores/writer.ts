import { hostTag } from "../atomic-output.ts";
import { isAlive } from "../remove-directory.ts";

/** Who writes: a hash of the host's name, a process, and when that began. */
export function whoIsThis(): string {
  return `${hostTag()}.${process.pid}.${Math.round(performance.timeOrigin).toString(36)}`;
}

/** Whether a process that wrote is still there. Of other hosts only the network could tell: null. */
export function isWriterThere(who: string): boolean | null {
  const mine = whoIsThis();
  if (who === mine) return true;
  const [host, pid] = who.split(".");
  const [myHost, myPid] = mine.split(".");
  if (host !== myHost) return null;
  return pid !== myPid && isAlive(Number(pid));
}
