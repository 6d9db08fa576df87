/** A record of csv as the naive reader sees it. */
export interface NaiveRow {
  readonly offset: number;
  readonly fields: readonly string[];
  /** Whether a quote stands where none may. */
  readonly stray: boolean;
  /** Its text, without the line end. */
  readonly text: string;
  /** A "\r" before the "\n" counted. */
  readonly bytes: number;
}

/**
 * Records of ASCII csv by the rule of csvReader's comment, character by character, with the whole file in
 * hand.
 * @param max bytes of a record, within which a quoted field must close
 */
export function naiveRows(content: string, lenient: boolean, max: number): NaiveRow[] {
  const rows: NaiveRow[] = [];
  for (let at = 0; at < content.length;) {
    const row = naiveRow(content, at, lenient, max);
    rows.push(row);
    at = row.next;
  }
  return rows;
}

function naiveRow(
  content: string,
  start: number,
  lenient: boolean,
  max: number,
): NaiveRow & { next: number } {
  const fields: string[] = [];
  let stray = false;
  let strayLine = -1;
  for (let at = start; ;) {
    let close = -1;
    if (content[at] === '"') {
      close = closeOf(content, at, lenient, strayLine === lineOf(content, at));
      if (close - start >= max) close = -1;
      if (close === -1) {
        stray = true;
        if (lenient) strayLine = lineOf(content, at);
      }
    }
    let end: number;
    if (close !== -1) {
      fields.push(content.slice(at + 1, close).replaceAll('""', '"'));
      end = close + 1;
    } else {
      end = at;
      while (end < content.length && content[end] !== "," && content[end] !== "\n") end++;
      const ended = content[end] === "\n";
      const text = content.slice(at, end);
      if (text.includes('"')) stray = true;
      fields.push(ended ? text.replace(/\r$/, "") : text);
    }
    if (content[end] === ",") {
      at = end + 1;
      continue;
    }
    const newline = content.indexOf("\n", end);
    const stop = newline === -1 ? content.length : newline;
    const text = content.slice(start, stop);
    return {
      offset: start,
      fields,
      stray,
      text: newline === -1 ? text : text.replace(/\r$/, ""),
      bytes: text.length,
      next: stop + 1,
    };
  }
}

function lineOf(content: string, at: number): number {
  return content.slice(0, at).split("\n").length;
}

function closeOf(content: string, open: number, lenient: boolean, emptyOnly: boolean): number {
  const runs = /"+/y;
  for (let at = open + 1; at < content.length;) {
    if (content[at] !== '"') {
      if (emptyOnly) return -1;
      at++;
      continue;
    }
    runs.lastIndex = at;
    const [run] = runs.exec(content)!;
    const end = at + run.length;
    if (run.length % 2 === 1) {
      const rest = content.slice(end, end + 2);
      if (rest === "" || rest[0] === "," || rest[0] === "\n" || rest === "\r\n") return end - 1;
      if (!lenient || lineOf(content, at) !== lineOf(content, open)) return -1;
    }
    if (emptyOnly) return -1;
    at = end;
  }
  return -1;
}
