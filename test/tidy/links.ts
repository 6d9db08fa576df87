export interface Link {
  /** "" when it stays on the page. */
  readonly file: string;
  readonly anchor: string | null;
}

/** The relative links of a page in Markdown; what stands in code is none. */
export function linksOf(page: string): Link[] {
  const prose = page
    .replace(/^```[\s\S]*?^```$/gm, "")
    .replace(/`[^`\n]*`/g, (code) => code.replaceAll("](", "] ("));
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = "", anchor] = target.split("#");
    return [{ file, anchor: anchor ?? null }];
  });
}
