import { SheafError, isSheafError } from "../../base/errors.ts";
import { quotePath } from "../fs-error.ts";

/** A status that may be another one later: after the seconds, or the time, of the header Retry-After. */
export function busyServer(
  name: string,
  status: number,
  retryAfter: string | undefined,
  nowMs: number,
): SheafError {
  const asked = retryAfter ?? "";
  const seconds = /^\d+$/.test(asked) ? Number(asked) : (Date.parse(asked) - nowMs) / 1_000;
  const retryAfterMs = Number.isFinite(seconds) ? Math.max(0, seconds * 1_000) : 0;
  return new SheafError("UNREACHABLE", `input ${quotePath(name)}: the server answers ${status}`, {
    hint: retryAfterMs > 0 ? `It asks to come again in ${seconds} s.` : "Try again later.",
    retryable: true,
    details: { path: name, status, retryAfterMs },
  });
}

/** An answer that takes longer than it may. */
export function slowAnswer(name: string, afterMs: number): SheafError {
  return new SheafError(
    "UNREACHABLE",
    `input ${quotePath(name)}: the answer took over ${afterMs / 1_000} s`,
    {
      hint: "Look at the network, and at the load of the server.",
      retryable: true,
      details: { path: name },
    },
  );
}

/** A status that stays. */
export function refusedFile(name: string, status: number): SheafError {
  const hints: Readonly<Record<number, string>> = {
    401: "Put user and password into ~/.netrc: machine HOST login USER password PASSWORD",
    403: "Check that it may be read by everybody, or put user and password into ~/.netrc.",
  };
  return new SheafError("INPUT_UNREADABLE", `input ${quotePath(name)}: the server answers ${status}`, {
    hint: hints[status] ?? "Check the address, with curl -I for example.",
    details: { path: name, status },
  });
}

/** An answer that cannot be worked with. */
export function unreadableFile(name: string, why: string): SheafError {
  return new SheafError("INPUT_UNREADABLE", `input ${quotePath(name)}: ${why}`, {
    hint: "Fetch it with another program, and give the file.",
    details: { path: name },
  });
}

/** Another version than the one that was listed. */
export function changedFile(name: string, what: string): SheafError {
  return new SheafError("INPUT_CHANGED", `input ${quotePath(name)} changed while the job ran: ${what}`, {
    hint: "Nothing was committed. Run again when nothing writes to it any more.",
    details: { path: name },
  });
}

/** There is no such file, where there was one. */
export function missingFile(address: string): SheafError {
  return new SheafError("INPUT_MISSING", `input ${quotePath(address)} is gone`, {
    hint: "Check the address.",
    details: { path: address },
  });
}

/** What a request that got no answer is told as; what is told already stays as it is. */
export function connectionFailed(address: string, error: unknown): SheafError {
  if (isSheafError(error)) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const { host } = new URL(address);
  const isName = code === "ENOTFOUND";
  const isTls = /CERT|UNABLE_TO|SELF_SIGNED|^ERR_(?:TLS|SSL)/.test(code);
  const why = isName
    ? "there is no such host"
    : error instanceof Error
      ? error.message || code
      : String(error);
  return new SheafError("UNREACHABLE", `input ${quotePath(address)}: ${host}: ${why}`, {
    hint: isTls
      ? "Check its certificate; NODE_EXTRA_CA_CERTS names a file with authorities of your own."
      : "Check the address, the network, and https_proxy.",
    retryable: !isName && !isTls,
    cause: error,
    details: { path: address, cause: code },
  });
}
