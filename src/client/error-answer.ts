import { SheafError } from "../base/errors.ts";
import type { ErrorCode } from "../base/errors.ts";

/** Statuses after which the same request may succeed a little later. */
const passing = new Set([502, 503, 504]);

/**
 * The error an answer stands for. Its body is `{ error: { code, message, hint } }` when it is sheaf that
 * answers; anything else is told as it is, by its status.
 */
export function errorOfAnswer(status: number, body: string, url: string): SheafError {
  const known = sheafErrorIn(body);
  const retryable = passing.has(status);
  const details = { url, status };
  if (known !== null) {
    const hint = known.hint === null ? {} : { hint: known.hint };
    return new SheafError(known.code, known.message, { ...hint, retryable, details });
  }
  if (retryable) {
    return new SheafError("UNREACHABLE", `${url}: answered ${status}: it is not ready`, {
      hint: "It is starting, or a proxy before it finds nothing behind.",
      retryable,
      details,
    });
  }
  const code: ErrorCode = status === 401 ? "UNAUTHORIZED" : status === 404 ? "NOT_FOUND" : "INTERNAL";
  return new SheafError(code, `${url}: answered ${status}, and not in the words of sheaf`, {
    hint: "Check that the URL is that of a sheaf coordinator, with no proxy between that asks for more.",
    details,
  });
}

function sheafErrorIn(body: string): { code: ErrorCode; message: string; hint: string | null } | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return null;
  }
  if (typeof parsed !== "object" || parsed === null || !("error" in parsed)) return null;
  const inner = parsed.error;
  if (typeof inner !== "object" || inner === null || !("code" in inner) || !("message" in inner)) return null;
  const { code, message } = inner;
  if (typeof code !== "string" || !/^[A-Z][A-Z_]{1,39}$/.test(code) || typeof message !== "string")
    return null;
  const hint = "hint" in inner && typeof inner.hint === "string" ? inner.hint : null;
  return { code: code as ErrorCode, message, hint };
}
