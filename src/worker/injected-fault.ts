import { SheafError } from "../base/errors.ts";
import type { InjectedFault } from "./fault-injection.ts";

/** Makes the fault happen; returns only when there is nothing wrong with that. */
export async function injectFault(fault: InjectedFault, kill: () => void): Promise<void> {
  switch (fault.how) {
    case "throw":
      throw Object.assign(new Error("injected fault"), { name: "InjectedFault" });
    case "exit":
      process.exit(0);
      break;
    case "kill":
      kill();
      return new Promise(() => undefined);
    case "hang":
      for (;;);
    case "stall":
      return new Promise(() => undefined);
    case "disk-full":
      throw new SheafError("DISK_FULL", "injected fault: no space left on the device", { retryable: true });
  }
}
