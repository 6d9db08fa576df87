/** Letters as examples/collections.ts reads them. */
export function lettersOf(text: string): string {
  const lines = text.split("\n").slice(0, -1);
  return lines
    .map((line, n) => `${JSON.stringify({ author: `author ${n % 17}`, age: 20 + (n % 31), text: line })}\n`)
    .join("");
}
