import type { State, StateUnit } from "./kept-state.ts";

/** A file of an input as it is now. */
export interface FileNow {
  readonly name: string;
  readonly bytes: number;
  readonly digest: string;
  /**
   * The file of the state with the same name, when that is what this one begins with: it was appended to.
   * `atEnd`: what was there before ends with a whole record. `joins`: what was bad in it may be the beginning
   * of a record that ends in what was appended, as behind a quote that nothing had closed.
   */
  readonly grownFrom: { readonly file: number; readonly atEnd: boolean; readonly joins: boolean } | null;
}

/** A stretch of the files of an input; `file` is an index into them. */
export type Arrangement =
  | {
      readonly kind: "new";
      readonly file: number;
      readonly from: number;
      readonly to: number;
      readonly why: string;
    }
  | { readonly kind: "kept"; readonly unit: number; readonly pieces: readonly FilePart[] };

export interface FilePart {
  readonly file: number;
  readonly start: number;
  readonly end: number;
}

export interface ArrangeOptions {
  /** Which of the job's inputs it is. */
  readonly input: number;
  /** Whether bad records are set aside: what has some was made so. */
  readonly keepBad: boolean;
}

/**
 * Lays what is kept over the files of an input: every byte is in one stretch, in order. A unit is taken where
 * the files that it has read lie one after the other again, with the same content, whatever they are called
 * now unless names matter. Of a file that was appended to all units are taken whose records cannot go on in
 * what is new.
 */
export function arrange(state: State, now: readonly FileNow[], options: ArrangeOptions): Arrangement[] {
  const finder = new UnitFinder(state, now, options);
  const found: Arrangement[] = [];
  for (let file = 0, from = 0; file < now.length;) {
    const unit = finder.at(file, from);
    if (unit !== null) {
      found.push(unit);
      const last = unit.pieces.at(-1)!;
      const isWhole = last.end === now[last.file]!.bytes;
      file = isWhole ? last.file + 1 : last.file;
      from = isWhole ? 0 : last.end;
      continue;
    }
    const to = finder.next(file, from);
    found.push({ kind: "new", file, from, to, why: finder.why(file, from) });
    const isWhole = to === now[file]!.bytes;
    file += isWhole ? 1 : 0;
    from = isWhole ? 0 : to;
  }
  return found;
}

/** Whether what is appended behind `end` of a file cannot change anything of the unit. */
function isBefore({ pieces, map }: StateUnit, end: number): boolean {
  return pieces.length === 1 && pieces[0]!.end <= end && map?.emptyFiles === null;
}

function addTo<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

/** A file of the state that a file now begins with: units of it that end by `end` can be taken. */
interface Content {
  readonly file: number;
  readonly end: number;
  readonly isWhole: boolean;
}

class UnitFinder {
  readonly #state: State;
  readonly #now: readonly FileNow[];
  readonly #options: ArrangeOptions;
  /** Files of the state's input, by digest; of the last one of a name. */
  readonly #byDigest = new Map<string, number[]>();
  readonly #byName = new Map<string, number>();
  /** By file of the state: where units begin in it, ascending, and which. */
  readonly #units = new Map<number, { readonly start: number; readonly unit: number }[]>();
  /** By file of the state: the units that have read of it. */
  readonly #readers = new Map<number, StateUnit[]>();

  constructor(state: State, now: readonly FileNow[], options: ArrangeOptions) {
    this.#state = state;
    this.#now = now;
    this.#options = options;
    for (const [index, { input, digest, name }] of state.files.entries()) {
      if (input !== options.input) continue;
      addTo(this.#byDigest, digest, index);
      this.#byName.set(name, index);
    }
    for (const [index, unit] of state.units.entries()) {
      for (const [i, { file, start }] of unit.pieces.entries()) {
        addTo(this.#readers, file, unit);
        if (i === 0) addTo(this.#units, file, { start, unit: index });
      }
    }
    for (const starts of this.#units.values()) starts.sort((a, b) => a.start - b.start);
  }

  at(file: number, from: number): Extract<Arrangement, { kind: "kept" }> | null {
    for (const content of this.#contents(file)) {
      for (const { start, unit } of this.#units.get(content.file) ?? []) {
        if (start > from) break;
        const pieces = start === from ? this.#placed(unit, file, content) : null;
        if (pieces !== null) return { kind: "kept", unit, pieces };
      }
    }
    return null;
  }

  /** Where the next unit behind `from` begins in the file; its end when none does. */
  next(file: number, from: number): number {
    let next = this.#now[file]!.bytes;
    for (const content of this.#contents(file)) {
      for (const { start, unit } of this.#units.get(content.file) ?? []) {
        if (start <= from || start >= next) continue;
        if (this.#placed(unit, file, content) !== null) next = start;
      }
    }
    return next;
  }

  why(file: number, from: number): string {
    const { name, digest, grownFrom } = this.#now[file]!;
    if (grownFrom !== null) return "it was appended to";
    const [same] = this.#contents(file);
    const before = this.#byName.get(name);
    if (same === undefined) return before === undefined ? "it is new" : "its content has changed";
    const unit = this.#readers
      .get(same.file)
      ?.find(({ pieces }) =>
        pieces.some(({ file: read, start, end }) => read === same.file && start <= from && from < end),
      );
    if (unit === undefined) return "no result of it was kept";
    if (unit.map === null) return unit.why ?? "no result of it was kept";
    if (unit.map.stats.badRecords > 0 && !this.#options.keepBad)
      return "it had bad records, which only --max-bad allows";
    const isRenamed = before === undefined || this.#state.files[before]!.digest !== digest;
    if (unit.map.namesMatter && isRenamed) return "it has another name, which the results may depend on";
    return "other files that it shared a map task with have changed, gone or come";
  }

  #contents(file: number): Content[] {
    const { name, digest, grownFrom } = this.#now[file]!;
    const { files } = this.#state;
    if (grownFrom !== null) {
      const { file: old, atEnd, joins } = grownFrom;
      const whole = atEnd ? files[old]!.bytes : this.#lastBegin(old);
      return [{ file: old, end: joins ? Math.min(whole, this.#firstBad(old)) : whole, isWhole: false }];
    }
    const same = this.#byDigest.get(digest) ?? [];
    const named = this.#byName.get(name);
    const first = named !== undefined && same.includes(named) ? [named] : [];
    return [...first, ...same.filter((one) => one !== named)].map((one) => {
      return { file: one, end: files[one]!.bytes, isWhole: true };
    });
  }

  /**
   * Where the last unit of a file begins, when a record begins in it: those before end with whole records.
   */
  #lastBegin(file: number): number {
    const last = this.#units.get(file)?.at(-1);
    if (last === undefined) return 0;
    const { map, pieces } = this.#state.units[last.unit]!;
    return map !== null && map.stats.recordsIn > 0 && pieces.length === 1 ? last.start : 0;
  }

  /** Where the first unit begins that has bad records of a file, or may have some. */
  #firstBad(file: number): number {
    let first = Infinity;
    for (const { map, pieces } of this.#readers.get(file) ?? []) {
      if (map?.stats.badRecords === 0) continue;
      for (const piece of pieces) if (piece.file === file) first = Math.min(first, piece.start);
    }
    return first;
  }

  /** Where the unit's pieces lie when the first is of this file; null when it cannot be taken there. */
  #placed(index: number, file: number, content: Content): FilePart[] | null {
    const unit = this.#state.units[index]!;
    if (!this.#mayTake(unit)) return null;
    const found: FilePart[] = [];
    for (const [i, { file: old, start, end }] of unit.pieces.entries()) {
      const now = this.#now[file + i];
      const before = this.#state.files[old]!;
      if (now === undefined || (unit.map!.namesMatter && now.name !== before.name)) return null;
      if (content.isWhole ? now.digest !== before.digest : !isBefore(unit, content.end)) return null;
      // What lies between two pieces would be left out.
      if (i > 0 && (start !== 0 || found.at(-1)!.end !== this.#now[file + i - 1]!.bytes)) return null;
      found.push({ file: file + i, start, end });
    }
    return found;
  }

  #mayTake({ map }: StateUnit): boolean {
    return map !== null && (map.stats.badRecords === 0 || this.#options.keepBad);
  }
}
