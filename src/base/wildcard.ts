/**
 * Whether a text is of a pattern in which `*` stands for any characters, also none, and `?` for one. Takes no
 * longer than the product of their lengths, whatever the pattern.
 */
export function matchesWildcard(pattern: string, text: string): boolean {
  const [wanted, given] = [Array.from(pattern), Array.from(text)];
  let at = 0;
  let star = -1;
  let from = 0;
  for (let index = 0; index < given.length;) {
    if (at < wanted.length && wanted[at] === "*") {
      star = at++;
      from = index;
    } else if (at < wanted.length && (wanted[at] === "?" || wanted[at] === given[index])) {
      at++;
      index++;
    } else if (star >= 0) {
      // The last star takes one character more.
      at = star + 1;
      index = ++from;
    } else return false;
  }
  while (wanted[at] === "*") at++;
  return at === wanted.length;
}
