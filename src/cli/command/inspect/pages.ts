import { escapeControls } from "../../../base/escape-controls.ts";
import { printValue } from "../../../base/print-value.ts";
import { formatSize } from "../../../base/size.ts";
import { decodeKey } from "../../../codec/key-codec.ts";
import type { CheckedOutput } from "../../../engine/committed-output.ts";
import { RUN_FILE_VERSION, type Segment } from "../../../shuffle/run-format.ts";
import type { RunIndex } from "../../../shuffle/run-index.ts";
import type { Style } from "../../ui/style.ts";
import { formatCount, plural, textTable } from "../../ui/text.ts";
import type { BlockView, RawRecord } from "./run-file.ts";

/** Blocks listed at most; --json has all. */
const BLOCKS_SHOWN_MAX = 40;
const VALUE_BYTES_SHOWN = 32;

export function outputPage(path: string, checked: CheckedOutput, style: Style): string {
  const { parts, strangers } = checked;
  const columns = ["FILE", ">RECORDS", ">BYTES", "CRC32C", ""];
  const rows = parts.map(({ part, damage }) => [
    part.file,
    formatCount(part.records),
    formatCount(part.bytes),
    part.crc32c,
    damage === null ? style.green("ok") : style.red(damage),
  ]);
  const bad = parts.filter((one) => one.damage !== null).length;
  const records = parts.reduce((sum, { part }) => sum + part.records, 0);
  const bytes = parts.reduce((sum, { part }) => sum + part.bytes, 0);
  const verdict =
    bad === 0
      ? style.green(
          `complete and undamaged: ${plural(parts.length, "file")}, ${plural(records, "record")}, ${formatSize(bytes)}`,
        )
      : style.red(`damaged: ${bad} of ${plural(parts.length, "file")}`);
  const job = checked.manifest["job"];
  const about = typeof job === "string" ? [`job: ${escapeControls(job)}`] : [];
  const extra = strangers.map((file) => `${style.yellow("not of this job:")} ${escapeControls(file)}`);
  return [[path, ...about].join("  "), ...textTable(columns, rows), ...extra, verdict].join("\n");
}

export interface ShownRunFile {
  readonly path: string;
  readonly view: RunIndex;
  readonly segments: readonly (Omit<Segment, "blocks"> & { readonly blocks: readonly BlockView[] })[];
  readonly records: readonly RawRecord[];
  /** Records in the whole file. */
  readonly total: number;
}

export function runFilePage(
  file: ShownRunFile,
  options: { readonly json: boolean; readonly style: Style },
): string {
  const { path, view, segments } = file;
  const records = file.records.map((record) => ({ key: keyText(record), value: valueText(record.value) }));
  if (options.json) {
    const { segments: _, path: __, ...rest } = view;
    const header = { ...rest, version: RUN_FILE_VERSION, job: view.job.toString("hex") };
    return JSON.stringify({
      kind: "run-file",
      path,
      ...header,
      segments,
      records,
      truncated: records.length < file.total,
    });
  }
  const head = `${path}  run file version ${RUN_FILE_VERSION}  ${formatSize(view.bytes)}  job ${view.job.toString("hex")}  task ${view.task}  attempt ${view.attempt}`;
  const parts = [[head], segmentTable(file), blockTable(file, options.style)];
  if (records.length > 0) {
    const rows = records.map((record) => [record.key, record.value]);
    const lines = textTable(["KEY", "VALUE (encoded bytes)"], rows);
    if (records.length < file.total)
      lines.push(`truncated: ${plural(records.length, "record")} of ${formatCount(file.total)}`);
    parts.push(lines);
  }
  return parts.map((lines) => lines.join("\n")).join("\n\n");
}

function segmentTable({ segments }: ShownRunFile): string[] {
  const columns = [">COLLECTION", ">PARTITION", ">RUN", ">BLOCKS", ">RECORDS", ">RAW", ">STORED"];
  const rows = segments.map((s) => [
    String(s.collection),
    String(s.partition),
    String(s.run),
    String(s.blocks.length),
    formatCount(s.records),
    formatSize(s.rawBytes),
    formatSize(s.length),
  ]);
  return textTable(columns, rows);
}

function blockTable({ segments }: ShownRunFile, style: Style): string[] {
  const blocks = segments.flatMap((segment) => segment.blocks);
  const columns = [">BLOCK AT", ">SEQUENCE", "CODEC", ">RECORDS", ">RAW", ">STORED", ""];
  // Damaged blocks are shown however many sound ones there are.
  const shown = blocks.filter((block, i) => i < BLOCKS_SHOWN_MAX || block.damage !== null);
  const rows = shown.map((block) => [
    String(block.offset),
    String(block.sequence),
    block.codec,
    formatCount(block.records),
    formatSize(block.rawBytes),
    formatSize(block.storedBytes),
    block.damage === null ? style.green("ok") : style.red(block.damage),
  ]);
  const lines = textTable(columns, rows);
  if (shown.length < blocks.length)
    lines.push(`truncated: ${shown.length} of ${plural(blocks.length, "block")}; --json has all`);
  return lines;
}

function keyText({ key }: RawRecord): string {
  try {
    return escapeControls(printValue(decodeKey(key, 0, key.length)));
  } catch {
    return `not a key: ${key.toString("hex", 0, VALUE_BYTES_SHOWN)}`;
  }
}

function valueText(value: Buffer): string {
  const hex = value.toString("hex", 0, VALUE_BYTES_SHOWN);
  return value.length > VALUE_BYTES_SHOWN ? `${hex}... (${value.length} bytes)` : hex;
}
