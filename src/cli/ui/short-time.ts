/** "2026-01-31 12:05:09" for an ISO 8601 time; always UTC, so that listings of machines can be compared. */
export function shortTime(iso: string): string {
  return iso.replace("T", " ").replace(/(?:\.\d+)?Z$/, "");
}
