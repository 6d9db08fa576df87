import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Archive } from "./archive.ts";
import type { FileTool } from "./file-tool.ts";
import { below, isRenamedByHadoop, parentOf } from "./hadoop/remote-output.ts";
import type { HostJob } from "./host-engine.ts";
import { homeArchives } from "./stage.ts";

/** A job as it lies on file systems of the engine's; all are addresses. */
export interface RemoteStage {
  /** Directory of the job's own. */
  readonly own: string;
  readonly splits: string;
  /** "ADDRESS#node" and so on: what is unpacked under that name beside each task; of all jobs alike. */
  readonly shared: readonly string[];
  /** Address of the archive with the job's own. */
  readonly archive: string;
  /** See RemotePlaces. */
  readonly aside: string;
  readonly owned: readonly string[];
}

/**
 * Puts a job where the engine finds it. Node and sheaf itself stay there for the next ones.
 * @param base directory for what jobs need and make
 */
export async function stageRemote(tool: FileTool, base: string, job: HostJob): Promise<RemoteStage> {
  const [cache, own] = [below(base, "cache"), below(base, job.jobId)];
  const isBeside = job.output !== null && isRenamedByHadoop(job.output);
  const aside = isBeside ? below(parentOf(job.output!), `.sheaf-${job.jobId}`) : below(own, "result");
  const owned = isBeside ? [own, aside] : [own];
  try {
    for (const directory of [cache, own, aside]) await tool.makeDirectory(directory);
    const splits = below(own, "splits");
    await tool.put(job.splits, splits);
    const { node, sheaf, job: rest } = await homeArchives(job.home, schemesIn(job.splits));
    const place = async (archive: Archive, directory: string): Promise<string> => {
      const address = below(directory, archive.name);
      if ((await tool.stat(address)) === null) await upload(tool, archive, address, job.scratch);
      return address;
    };
    const shared = [`${await place(node, cache)}#node`, `${await place(sheaf, cache)}#sheaf`];
    return { own, splits, shared, archive: await place(rest, own), aside, owned };
  } catch (error) {
    for (const address of owned) await tool.remove(address).catch(() => undefined);
    throw error;
  }
}

async function upload(tool: FileTool, archive: Archive, address: string, scratch: string): Promise<void> {
  const path = join(scratch, archive.name);
  await archive.pack(path);
  try {
    await tool.put(path, address);
  } catch (error) {
    // Another run may have been quicker: what has this name is the same.
    if ((await tool.stat(address)) === null) throw error;
  } finally {
    rmSync(path, { force: true });
  }
}

/** Schemes of what tasks read, as addresses: packages that are needed for them travel. */
function schemesIn(splits: string): string[] {
  const found = readFileSync(splits, "utf8").matchAll(/"path":"([a-z][a-z0-9+.-]*:\/\/)/g);
  return [...new Set([...found].map(([, scheme]) => scheme!))];
}
