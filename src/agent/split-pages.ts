import type { ApiClient } from "../client/api-client.ts";
import type { CallOptions } from "../client/http.ts";
import type { ErrandResult } from "../protocol/agent-messages.ts";
import { splitsPerPage } from "../protocol/agent-messages.ts";

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
  if (result.kind !== "planned" || result.splits.length <= splitsPerPage) return result;
  const { agent, incarnation, splits } = result;
  for (let from = 0; from < splits.length; from += splitsPerPage) {
    step();
    const page = { agent, incarnation, from, splits: splits.slice(from, from + splitsPerPage) };
    await api.splits(errand, page, call);
  }
  return { ...result, splits: [], sent: splits.length };
}
