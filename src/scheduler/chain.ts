/** A place in a Chain. Each thing that can stand in a chain owns one link per kind of chain. */
export interface Link<T> {
  readonly item: T;
  previous: Link<T> | null;
  next: Link<T> | null;
  chain: Chain<T> | null;
}

export function newLink<T>(item: T): Link<T> {
  return { item, previous: null, next: null, chain: null };
}

/**
 * A doubly linked list through links its items own: append, remove and first are O(1). A JavaScript Map or
 * Set used as a queue is not: finding the first key walks over all that were deleted before it.
 */
export class Chain<T> {
  first: Link<T> | null = null;
  last: Link<T> | null = null;
  size = 0;

  /** Moves the link to the end, out of whatever chain it was in. */
  append(link: Link<T>): void {
    unlink(link);
    link.chain = this;
    link.previous = this.last;
    if (this.last === null) this.first = link;
    else this.last.next = link;
    this.last = link;
    this.size++;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let link = this.first; link !== null; link = link.next) yield link.item;
  }
}

/** Takes a link out of its chain; does nothing when it is in none, or there is none. */
export function unlink<T>(link: Link<T> | null): void {
  const chain = link?.chain ?? null;
  if (link === null || chain === null) return;
  if (link.previous === null) chain.first = link.next;
  else link.previous.next = link.next;
  if (link.next === null) chain.last = link.previous;
  else link.next.previous = link.previous;
  link.previous = null;
  link.next = null;
  link.chain = null;
  chain.size--;
}
