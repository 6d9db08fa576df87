import type { TextStream } from "../world.ts";
import { say } from "../world.ts";
import { escapeForeign, ownSequence } from "./style.ts";
import { textWidth, truncateText } from "./text-width.ts";

const HIDE_CURSOR = ownSequence("?25l");
const SHOW_CURSOR = ownSequence("?25h");

/**
 * The last few lines of a terminal, drawn over and over in place, with other text going out above them. After
 * `end()` the region is gone and the cursor is back.
 */
export interface LiveRegion {
  /** Replaces the region's lines; none leaves nothing. */
  draw(lines: readonly string[]): void;
  /** Writes lasting text (whole lines) above the region. */
  above(text: string): void;
  end(): void;
}

export function liveRegion(stream: TextStream): LiveRegion {
  let drawn: readonly string[] = [];
  let hidden = false;

  // The terminal may have been narrowed since the lines were drawn: they then wrap, and take more rows than
  // lines.
  const erase = (): string => {
    if (drawn.length === 0) return "";
    const columns = Math.max(1, stream.columns ?? 80);
    const rows = drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(textWidth(line) / columns)), 0);
    return ownSequence("G") + ownSequence(`${rows}A`) + ownSequence("J");
  };

  const paint = (lines: readonly string[]): string => {
    // One column stays free, since a full line makes some terminals wrap.
    const columns = Math.max(1, (stream.columns ?? 80) - 1);
    drawn = lines.map((line) => truncateText(escapeForeign(line), columns));
    return drawn.map((line) => `${line}\n`).join("");
  };

  return {
    draw(lines) {
      const show = lines.length > 0 && !hidden ? HIDE_CURSOR : "";
      hidden ||= lines.length > 0;
      const text = show + erase() + paint(lines);
      if (text !== "") say(stream, text);
    },
    above(text) {
      const lines = drawn;
      say(stream, erase() + text + paint(lines));
    },
    end() {
      const text = erase() + (hidden ? SHOW_CURSOR : "");
      drawn = [];
      hidden = false;
      if (text !== "") say(stream, text);
    },
  };
}
