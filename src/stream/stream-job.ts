import { fieldText } from "../format/field-text.ts";
import { none } from "../format/none.ts";
import { textReader } from "../format/text-reader.ts";
import { rawText, typedText } from "../format/typed-bytes.ts";
import { job } from "../job/define.ts";
import { exec, type ExecOptions } from "../job/exec.ts";
import type { Job } from "../job/job-plan.ts";
import type { ReduceContext } from "../job/job.ts";
import type { Key } from "../job/key.ts";
import type { ByteSink, Writer } from "../job/writer.ts";
import { combineValues, reduceValues } from "./aggregate-values.ts";

export type StreamIo = "lines" | "rawbytes" | "typedbytes";

/** What a command line of Hadoop Streaming asks for. Plain data. */
export interface StreamPlan {
  readonly name: string;
  readonly mapper: readonly string[];
  readonly combiner?: readonly string[];
  /**
   * A program; "identity": the sorted lines; "none": those of the map as they come; "aggregate": keys say how
   * values come together.
   */
  readonly reducer: readonly string[] | "identity" | "none" | "aggregate";
  /** "total": the keys of one part come before those of the next. Default: they are spread. */
  readonly order?: "total";
  /** Of all programs. */
  readonly options: Pick<ExecOptions, "env" | "exitCodes" | "reporter">;
  /** Of the map. */
  readonly mapOptions: Pick<
    ExecOptions,
    "separator" | "keyFields" | "sort" | "partitionBy" | "keySeparator" | "perFile"
  >;
  /** Of what reads pairs. */
  readonly inputSeparator?: string;
  /** How programs read and write (-io, stream.map.input and the others): by default lines. */
  readonly io?: {
    readonly mapInput: StreamIo;
    /** A combiner reads and writes this, too, and a reduce reads it. */
    readonly pairs: StreamIo;
    readonly reduceOutput: StreamIo;
  };
  readonly files: readonly string[];
  /** "none": nothing is written. Default: lines. */
  readonly output?: "none";
  readonly compress?: "gzip" | "zstd";
}

/**
 * The job of `sheaf stream`: lines in, programs, lines out.
 * @throws SheafError JOB_INVALID
 */
export function streamJob(plan: StreamPlan): Job {
  const { reducer, combiner, options, inputSeparator } = plan;
  const { mapInput = "lines", pairs = "lines", reduceOutput = "lines" } = plan.io ?? {};
  const reading = {
    ...options,
    protocol: pairs,
    ...(inputSeparator !== undefined && { inputSeparator }),
  };
  const isReduced = typeof reducer === "object";
  const { separator = "\t" } = plan.mapOptions;
  const mapOptions = { ...options, ...plan.mapOptions, protocol: pairs, inputProtocol: mapInput };
  const common = {
    name: plan.name,
    input: textReader({ invalid: "bytes" }),
    files: plan.files,
    map: exec(plan.mapper, mapOptions),
    output: plan.output === "none" ? none() : lines(plan.compress, isReduced ? reduceOutput : pairs),
    ...(plan.order !== undefined && { order: plan.order }),
  };
  const combine = combiner === undefined ? {} : { combine: exec(combiner, reading) };
  // Between key and value the output has a tab, whatever the map has written there.
  if (reducer === "none" && separator !== "\t" && plan.output !== "none") {
    const { nativeOutput: _, ...output } = lines(plan.compress, "lines");
    return job({ ...common, map: exec(plan.mapper, { ...mapOptions, invalid: "bytes" }), output }) as Job;
  }
  if (reducer === "none") return job({ ...common }) as Job;
  if (reducer === "identity" && combiner === undefined && separator === "\t")
    return job({ order: "hash", ...common }) as Job;
  if (reducer === "aggregate") {
    return job({
      ...common,
      combine: combineValues,
      reduce(key: string, values: Iterable<string | undefined>, context: ReduceContext): undefined {
        context.emit(...reduceValues(key, values));
        return undefined;
      },
    }) as Job;
  }
  // What a combiner has made, and what has got another separator, can be told only behind a reduce.
  const reduce =
    reducer === "identity"
      ? exec(["cat"], { ...options, protocol: pairs })
      : exec(reducer, { ...reading, protocol: reduceOutput, inputProtocol: pairs });
  return job({ ...common, ...combine, reduce }) as Job;
}

/** KEY TAB VALUE, in files that have no extension, as Hadoop names them. */
function lines(compress: "gzip" | "zstd" | undefined, io: StreamIo): Writer<Key, unknown> {
  if (io !== "lines") {
    const { nativeOutput: _, ...others } = lines(compress, "lines");
    const text = (piece: unknown): Buffer =>
      (io === "typedbytes" ? typedText : rawText)(Buffer.from(piece as Uint8Array));
    return {
      ...others,
      encoder: () => ({
        write(key, value, sink) {
          sink.bytes(text(key));
          sink.text("\t");
          sink.bytes(text(value));
          sink.text("\n");
        },
      }),
    };
  }
  return {
    kind: "lines",
    extension: "",
    nativeOutput: "text",
    ...(compress !== undefined && { compression: compress }),
    encoder: () => ({
      write(key, value, sink) {
        put(sink, key);
        if (value !== undefined) {
          sink.text("\t");
          put(sink, value);
        }
        sink.text("\n");
      },
    }),
  };
}

function put(sink: ByteSink, piece: unknown): void {
  if (piece instanceof Uint8Array) sink.bytes(piece);
  else sink.text(fieldText(piece));
}
