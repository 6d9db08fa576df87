import { SheafError } from "../base/errors.ts";

/** What can be named in a URL or a message. All of these are safe as one part of a path, too. */
export type IdKind = "job" | "task" | "attempt" | "agent" | "bundle" | "blob" | "collection" | "part";

const task = "(?:sample|map|reduce)-(?:\\d{5}|[1-9]\\d{5,6})";

const forms: Readonly<Record<IdKind, readonly [form: RegExp, example: string]>> = {
  job: [/^\d{8}-\d{9}-[a-z0-9][a-z0-9-]{0,29}-[a-z2-9]{4}$/, "20260101-101010123-words-abcd"],
  task: [new RegExp(`^${task}$`), "map-00017"],
  attempt: [new RegExp(`^${task}\\.[1-9]\\d{0,8}$`), "map-00017.2"],
  agent: [/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "node-1.example"],
  bundle: [/^[0-9a-f]{16}$/, "0123456789abcdef"],
  blob: [/^[0-9a-f]{64}$/, "64 hexadecimal digits"],
  collection: [/^[A-Za-z][\w-]{0,99}$/, "byCity"],
  part: [/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/, "part-00000.tsv"],
};

/** Whether a text is of the form that ids of this kind have. */
export function isId(kind: IdKind, text: string): boolean {
  return forms[kind][0].test(text);
}

/**
 * The text, which is of the form that ids of this kind have.
 * @throws SheafError MESSAGE_INVALID when it is not
 */
export function checkId(kind: IdKind, text: string): string {
  if (isId(kind, text)) return text;
  const shown = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
  throw new SheafError("MESSAGE_INVALID", `${shown} is no ${kind === "blob" ? "hash" : kind} id`, {
    hint: `It looks like this: ${forms[kind][1]}.`,
  });
}
