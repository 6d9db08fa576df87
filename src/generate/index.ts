import { accesslog } from "./access-log.ts";
import { csvData } from "./csv.ts";
import type { Generator } from "./generator.ts";
import { defineGenerator } from "./generator.ts";
import { jsonlData } from "./jsonl.ts";
import { measurements } from "./measurements.ts";
import { pairs } from "./pairs.ts";
import { terasort } from "./terasort.ts";
import { textData } from "./text.ts";

/** Every kind of data that can be generated, in the order help shows them. */
export const generators: readonly Generator[] = [
  textData,
  terasort,
  measurements,
  csvData,
  jsonlData,
  accesslog,
  pairs,
].map(defineGenerator);

export type { GenerateRequest, Generator, GeneratorOption } from "./generator.ts";
