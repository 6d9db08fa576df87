import type { ApiClient } from "../client/api-client.ts";
import type { CallOptions } from "../client/http.ts";
import type { ErrandResult } from "../protocol/agent-messages.ts";
import { splitsPerPage } from "../protocol/agent-messages.ts";
import { toWireJson } from "../protocol/wire-json.ts";
import { MiB } from "../base/size.ts";

/** Of a page's JSON text. */
const pageBytes = 2 * MiB;

function bytesOf(splits: readonly unknown[]): number {
  return splits.reduce<number>((sum, split) => sum + Buffer.byteLength(toWireJson(split)), 0);
}

/**
 * Sends the splits of a large plan ahead of it, page by page: no one message keeps its coordinator from
 * others for long. Resolves with the result as it is to be sent then.
 * @param step called before each page
 */
export async function withoutPages(
  api: ApiClient,
  errand: string,
  result: ErrandResult,
  call: CallOptions,
  step: () => void,
): Promise<ErrandResult> {
  if (
    result.kind !== "planned" ||
    (result.splits.length <= splitsPerPage && bytesOf(result.splits) <= pageBytes)
  )
    return result;
  const { agent, incarnation, splits } = result;
  for (let from = 0; from < splits.length;) {
    step();
    // Splits of many small files are long: a page has one at least.
    let bytes = bytesOf([splits[from]!]);
    let to = from + 1;
    while (to < splits.length && to - from < splitsPerPage) {
      bytes += bytesOf([splits[to]!]);
      if (bytes > pageBytes) break;
      to++;
    }
    await api.splits(errand, { agent, incarnation, from, splits: splits.slice(from, to) }, call);
    from = to;
  }
  return { ...result, splits: [], sent: splits.length };
}
