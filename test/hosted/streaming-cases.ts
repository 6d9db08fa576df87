import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { typedProgram } from "./streaming-lab.ts";

/* Command lines of Hadoop Streaming, with their inputs. */

export const root = mkdtempSync(join(tmpdir(), "sheaf-streaming-oracle-"));

function file(name: string, content: string | Buffer): string {
  const path = join(root, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === "string" ? Buffer.from(content, "latin1") : content);
  return path;
}

const property = (...all: readonly string[]): string[] => all.flatMap((one) => ["-D", one]);

/** Lines of every kind, and a last one without its end. */
const odd = file(
  "odd.txt",
  [
    ["no tab", "", "\t", "\tno key", "k\t", "a\tb\tc", "caf\xe9 \xff\xfe\0nul\tv\xe9", " x \t y ", "k\tv"],
    ["k\tu", "crlf\tv\r", "\r", `long\t${"x".repeat(1 << 20)}`, "a", "a\t1", "b.c.d\te.f", ".", "..", "z"],
  ]
    .flat()
    .join("\n"),
);
const dotted = file("dotted.txt", "11.12.1.2\n11.14.2.3\n11.11.4.1\n11.12.1.1\n11.14.2.2\n9.8\n7\n\n.5.\n");
const typed = file("typed.py", typedProgram);
const words = file(
  "words.txt",
  "the cat sat\n\non the mat\r\nthe  end \xc3\xa9t\xc3\xa9 a\nbb ccc dddd the\n",
);
file("several/a.txt", "one\ttwo\n");
file("several/b.txt.gz", gzipSync("three\tfour\none\tfive\n"));
file("several/_hidden", "no\tno\n");
file("several/.hidden", "no\tno\n");
file("several/empty.txt", "");
const bom = file("bom.txt", "\xef\xbb\xbffirst\tline\nsecond\n");
const python = (role: string): string => `python3 ${typed} ${role}`;

/** Values with their aggregation, for -reducer aggregate. */
const aggregated = file(
  "aggregated.txt",
  [
    [
      "LongValueSum:a\t1",
      "LongValueSum:a\t-5",
      "LongValueSum:b:c\t9223372036854775806",
      "LongValueSum:b:c\t1",
    ],
    ["DoubleValueSum:d\t1.5", "DoubleValueSum:d\t2.25", "DoubleValueSum:e\t1e21", "DoubleValueSum:f\t-0.5"],
    [
      "DoubleValueSum:g\t3",
      "LongValueMax:m\t7",
      "LongValueMax:m\t-7",
      "LongValueMin:m\t7",
      "LongValueMin:m\t-7",
    ],
    ["StringValueMax:s\tb", "StringValueMax:s\tab", "StringValueMin:s\tb", "StringValueMin:s\tab"],
    ["StringValueMax:t\t9", "StringValueMax:t\t10", "StringValueMin:t\t", "StringValueMin:t\t0"],
    ["UniqValueCount:u\tx", "UniqValueCount:u\ty", "UniqValueCount:u\tx", "UniqValueCount:u\t"],
    ["ValueHistogram:h\tx", "ValueHistogram:h\ty", "ValueHistogram:h\tx", "ValueHistogram:h\tz\t4"],
    ["ValueHistogram:one\tx", "ValueHistogram:two\tx", "ValueHistogram:two\ty", "LongValueSum:\t3"],
  ]
    .flat()
    .map((line) => `${line}\n`)
    .join(""),
);

export interface Case {
  readonly name: string;
  readonly input: string;
  readonly words: readonly string[];
  /** What of a line decides its place: lines that are alike in that may come in any order. Default: all. */
  readonly by?: (line: string) => string;
}

const key = (line: string): string => line.split("\t", 1)[0]!;
const fields =
  (separator: string, from: number, to: number) =>
  (line: string): string =>
    line
      .replace("\t", separator)
      .split(separator)
      .slice(from - 1, to)
      .join(separator);

const byFields = ["-partitioner", "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner"];
const comparator =
  "mapreduce.job.output.key.comparator.class=org.apache.hadoop.mapreduce.lib.partition.KeyFieldBasedComparator";
const dots = (fields: number): string[] =>
  property("stream.map.output.field.separator=.", `stream.num.map.output.key.fields=${fields}`);
const sorted = (options: string): string[] =>
  property(
    "mapreduce.map.output.key.field.separator=.",
    comparator,
    `mapreduce.partition.keycomparator.options=${options}`,
  );
const four = file(
  "four.txt",
  "11.12.1.2\n11.14.2.3\n11.11.4.1\n11.12.1.1\n11.14.2.2\n9.8.7.6\n19.132.0.15\n",
);
const numbers = file(
  "numbers.txt",
  ["3:x", "-3:y", "12.5:a", "12.25:b", "007:z", "7.0:c", "-0.1:d", "-0.01:h", "0:g", "100:i", "-20:j"]
    .concat(["99999999999999999999.1:e", "99999999999999999998.9:f"])
    .map((line) => `${line}\n`)
    .join(""),
);
const colons = property(
  "stream.map.output.field.separator=:",
  "stream.num.map.output.key.fields=2",
  "mapreduce.map.output.key.field.separator=:",
  comparator,
);

export const cases: readonly Case[] = [
  { name: "lines of every kind, no reduce", input: odd, words: ["-mapper", "cat", "-reducer", "NONE"] },
  {
    name: "no reduce by their number",
    input: odd,
    words: [...property("mapreduce.job.reduces=0"), "-mapper", "cat"],
  },
  { name: "lines of every kind, sorted", input: odd, words: ["-mapper", "cat"], by: key },
  { name: "through two programs", input: odd, words: ["-mapper", "cat", "-reducer", "cat"], by: key },
  {
    name: "without a mapper's last line end",
    input: dotted,
    words: ["-mapper", "sh -c 'cat; printf last'", "-reducer", "cat"],
  },
  {
    name: "fields of keys",
    input: odd,
    words: [...property("stream.num.map.output.key.fields=2"), "-mapper", "cat", "-reducer", "cat"],
    by: fields("\t", 1, 2),
  },
  {
    name: "another separator",
    input: dotted,
    words: [...dots(2), "-mapper", "cat", "-reducer", "cat"],
    by: key,
  },
  { name: "another separator, sorted lines", input: dotted, words: [...dots(2), "-mapper", "cat"], by: key },
  {
    name: "another separator, no reduce",
    input: dotted,
    words: [...dots(2), "-mapper", "cat", "-reducer", "NONE"],
  },
  {
    name: "another separator, lines of every kind, no reduce",
    input: odd,
    words: [...dots(1), "-mapper", "cat", "-reducer", "NONE"],
  },
  {
    name: "a separator of several bytes",
    input: dotted,
    words: [...property("stream.map.output.field.separator=.1"), "-mapper", "cat", "-reducer", "cat"],
    by: key,
  },
  {
    name: "another separator for the reducer",
    input: odd,
    words: [
      ...property("stream.reduce.input.field.separator=|"),
      "-mapper",
      "cat",
      "-reducer",
      "tr '\\t' '#'",
    ],
    by: (line) => line.split(/[#|]/, 1)[0]!,
  },
  {
    name: "a comparator: numbers, descending",
    input: four,
    words: [...dots(4), ...sorted("-k2,2nr"), "-mapper", "cat", "-reducer", "cat"],
    by: fields(".", 2, 2),
  },
  {
    name: "a comparator of several fields",
    input: four,
    words: [...dots(4), ...sorted("-k1,1n -k4,4nr -k2"), "-mapper", "cat", "-reducer", "cat"],
  },
  {
    name: "a comparator of bytes within fields",
    input: four,
    words: [...dots(4), ...sorted("-k2.2,2.2r -k1.1,1.1 -k4"), "-mapper", "cat", "-reducer", "cat"],
    by: (line) =>
      fields(".", 2, 2)(line).slice(1, 2) + fields(".", 1, 1)(line).slice(0, 1) + fields(".", 4, 4)(line),
  },
  {
    name: "a comparator of numbers of every kind",
    input: numbers,
    words: [
      ...colons,
      ...property("mapreduce.partition.keycomparator.options=-k1,1n -k2"),
      "-mapper",
      "cat",
      "-reducer",
      "cat",
    ],
  },
  {
    name: "a comparator, reversed",
    input: numbers,
    words: [
      ...colons,
      ...property("mapreduce.partition.keycomparator.options=-r"),
      "-mapper",
      "cat",
      "-reducer",
      "cat",
    ],
  },
  {
    name: "a partitioner of fields",
    input: dotted,
    words: [
      ...dots(4),
      ...property(
        "mapreduce.map.output.key.field.separator=.",
        "mapreduce.partition.keypartitioner.options=-k1,2",
      ),
      ...byFields,
      "-mapper",
      "cat",
      "-reducer",
      "cat",
      "-numReduceTasks",
      "3",
    ],
    by: fields(".", 1, 2),
  },
  {
    name: "a partitioner of so many fields",
    input: dotted,
    words: [
      ...dots(4),
      ...property("mapreduce.map.output.key.field.separator=.", "num.key.fields.for.partition=2"),
      ...byFields,
      "-mapper",
      "cat",
      "-reducer",
      "cat",
      "-numReduceTasks",
      "3",
    ],
    by: fields(".", 1, 2),
  },
  { name: "aggregate", input: aggregated, words: ["-mapper", "cat", "-reducer", "aggregate"] },
  {
    name: "aggregate in several parts",
    input: aggregated,
    words: ["-mapper", "cat", "-reducer", "aggregate", "-numReduceTasks", "3"],
    by: (line) => line,
  },
  {
    name: "a combiner",
    input: words,
    words: ["-mapper", "tr -s ' ' '\\n'", "-combiner", "uniq", "-reducer", "cat"],
  },
  { name: "nothing comes", input: words, words: ["-mapper", "sed d", "-reducer", "cat"] },
  {
    name: "an empty file",
    input: join(root, "several/empty.txt"),
    words: ["-mapper", "cat", "-reducer", "cat"],
  },
  {
    name: "a directory of several files, compressed and hidden ones",
    input: join(root, "several"),
    words: ["-mapper", "cat", "-reducer", "cat"],
    by: key,
  },
  {
    name: "a pattern, and several paths in one",
    input: `${join(root, "several/*.txt")},${words}`,
    words: ["-mapper", "cat", "-reducer", "cat"],
  },
  { name: "a byte order mark", input: bom, words: ["-mapper", "cat", "-reducer", "cat"] },
  {
    name: "keys and values as input",
    input: odd,
    words: [
      "-inputformat",
      "org.apache.hadoop.mapred.KeyValueTextInputFormat",
      "-mapper",
      "cat",
      "-reducer",
      "cat",
    ],
    by: key,
  },
  { name: "quotes", input: words, words: ["-mapper", `sed "s/the cat/'a  dog'/"`, "-reducer", "cat"] },
  {
    name: "variables",
    input: words,
    words: [
      ...property("my.own-name=a b", "stream.num.map.output.key.fields=3"),
      "-cmdenv",
      "GREETING=hello",
      "-mapper",
      "sh -c 'cat >/dev/null; echo $GREETING $my_own_name $mapreduce_task_ismap $mapreduce_job_reduces $mapreduce_task_partition $stream_num_map_output_key_fields'",
      "-reducer",
      "sh -c 'cat; echo $mapreduce_task_ismap $mapreduce_task_partition'",
    ],
  },
  {
    name: "exit codes that do not matter",
    input: words,
    words: [
      ...property("stream.non.zero.exit.is.failure=false"),
      "-mapper",
      "grep nowhere",
      "-reducer",
      "sh -c 'cat; exit 3'",
    ],
  },
  {
    name: "typed bytes",
    input: words,
    words: ["-io", "typedbytes", "-mapper", python("map"), "-reducer", python("reduce")],
  },
  {
    name: "typed bytes without a reducer",
    input: words,
    words: ["-io", "typedbytes", "-mapper", python("map"), "-reducer", "NONE"],
  },
  { name: "typed bytes, sorted", input: words, words: ["-io", "typedbytes", "-mapper", python("map")] },
  {
    name: "typed bytes for the map alone",
    input: words,
    words: [...property("stream.map.input=typedbytes"), "-mapper", python("map-text"), "-reducer", "cat"],
  },
  {
    name: "typed bytes between the programs alone",
    input: words,
    words: [
      ...property("stream.map.output=typedbytes", "stream.reduce.input=typedbytes"),
      "-mapper",
      python("map-of-text"),
      "-reducer",
      python("reduce-to-text"),
    ],
  },
  {
    name: "raw bytes",
    input: words,
    words: ["-io", "rawbytes", "-mapper", python("raw-map"), "-reducer", python("raw-reduce")],
  },
  {
    name: "raw bytes as the mapper reads them",
    input: words,
    words: ["-io", "rawbytes", "-mapper", python("raw-look"), "-reducer", "NONE"],
  },
];
