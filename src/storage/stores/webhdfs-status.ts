import { SheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";
import type { StoreStep } from "../store.ts";
import type { WebHdfsClient } from "./webhdfs-client.ts";
import type { HdfsDoing } from "./webhdfs-errors.ts";
import type { HdfsTarget } from "./webhdfs-path.ts";

/** What WebHDFS says of a file; HttpFS of some versions leaves `fileId` out. */
export interface HdfsStatus {
  readonly pathSuffix: string;
  readonly type: "FILE" | "DIRECTORY" | "SYMLINK";
  readonly length: number;
  readonly modificationTime: number;
  readonly fileId?: number;
}

/** null: nothing is there. */
export async function hdfsStatus(
  client: WebHdfsClient,
  target: HdfsTarget,
  doing: HdfsDoing = "list",
): Promise<HdfsStatus | null> {
  const answer = await client.ask("GET", "GETFILESTATUS", target, doing);
  return answer === null ? null : checked((answer as { FileStatus?: unknown }).FileStatus, target);
}

/** What is in a directory; nothing of a file, or where there is nothing. */
export async function* hdfsListing(
  client: WebHdfsClient,
  target: HdfsTarget,
  step: StoreStep,
  doing: HdfsDoing = "list",
): AsyncIterable<HdfsStatus> {
  for (let startAfter: string | undefined; ;) {
    step?.();
    const answer = (await client.ask("GET", "LISTSTATUS_BATCH", target, doing, { startAfter })) as {
      DirectoryListing?: {
        partialListing?: { FileStatuses?: { FileStatus?: unknown[] } };
        remainingEntries?: number;
      };
    } | null;
    if (answer === null) return;
    const statuses = answer.DirectoryListing?.partialListing?.FileStatuses?.FileStatus ?? [];
    for (const one of statuses) {
      const status = checked(one, target);
      // Of a file: itself.
      if (status.pathSuffix === "") return;
      yield status;
      startAfter = status.pathSuffix;
    }
    if (!((answer.DirectoryListing?.remainingEntries ?? 0) > 0) || statuses.length === 0) return;
  }
}

function checked(status: unknown, { address }: HdfsTarget): HdfsStatus {
  const { pathSuffix, type, length, modificationTime } = (status ?? {}) as Partial<HdfsStatus>;
  const isWhole = typeof pathSuffix === "string" && typeof type === "string";
  if (isWhole && Number.isSafeInteger(length) && Number.isSafeInteger(modificationTime))
    return status as HdfsStatus;
  throw new SheafError(
    "UNREACHABLE",
    `the server of ${quotePath(address)} answers, but not as WebHDFS does`,
    {
      hint: "Check its address: the HTTP port of a NameNode (9870) or of HttpFS (14000).",
      details: { path: address },
    },
  );
}

/** Another one when it was written to. */
export function hdfsVersion({ modificationTime, length, fileId }: HdfsStatus): string {
  return `${modificationTime}-${length}-${fileId ?? 0}`;
}
