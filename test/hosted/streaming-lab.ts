import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { compileJava, javaHome, maven } from "../kit/jars.ts";

/** The real Hadoop Streaming, whose jobs run in one JVM on local files. */
export class StreamingLab {
  readonly #java: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #errors: string;
  readonly #work: string;

  /** @param work a directory of its own */
  constructor(work: string) {
    const jars = maven.jarsOf(maven.names.local);
    const classes = compileJava("hosted/StreamingLab.java", [jars]);
    const conf = join(work, "conf");
    mkdirSync(conf, { recursive: true });
    writeFileSync(
      join(conf, "log4j.properties"),
      `log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%p %c{2}: %m%n
`,
    );
    this.#work = work;
    this.#errors = join(work, "errors");
    this.#java = spawn(
      "java",
      [
        ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8"],
        ["-cp", [conf, classes, `${jars}/*`].join(":"), "StreamingLab"],
      ].flat(),
      {
        cwd: work,
        stdio: ["pipe", "pipe", openSync(this.#errors, "w")],
        env: { ...process.env, JAVA_HOME: javaHome(), HADOOP_HOME: work },
      },
    );
    this.#answers = createInterface({ input: this.#java.stdout! })[Symbol.asyncIterator]();
  }

  /** Runs `hadoop jar hadoop-streaming.jar WORDS` to its end. Throws unless it ends with 0. */
  async run(words: readonly string[]): Promise<void> {
    const own = ["-D", `hadoop.tmp.dir=${join(this.#work, "tmp")}`];
    const before = this.said.length;
    this.#java.stdin!.write(`${[...own, ...words].join("\u001f")}\n`);
    const { value } = await this.#answers.next();
    if (value !== "0")
      throw new Error(`hadoop-streaming ${words.join(" ")}: ${value}\n${this.said.slice(before)}`);
  }

  /** What it has written to standard error. */
  get said(): string {
    return readFileSync(this.#errors, "utf8");
  }

  async close(): Promise<void> {
    const ended = once(this.#java, "exit");
    this.#java.stdin!.end();
    await ended;
  }
}

/** Mappers and reducers of typed and raw bytes, by their role. */
export const typedProgram = `
import struct, sys
from itertools import groupby
def encode(value):
    if isinstance(value, bool): return struct.pack(">bb", 2, value)
    if isinstance(value, int) and abs(value) < 2**31: return struct.pack(">bi", 3, value)
    if isinstance(value, int): return struct.pack(">bq", 4, value)
    if isinstance(value, float): return struct.pack(">bd", 6, value)
    if isinstance(value, bytes): return struct.pack(">bi", 0, len(value)) + value
    if isinstance(value, str): return struct.pack(">bi", 7, len(value.encode())) + value.encode()
    if isinstance(value, tuple): return struct.pack(">bi", 8, len(value)) + b"".join(map(encode, value))
    if isinstance(value, list): return b"\\x09" + b"".join(map(encode, value)) + b"\\xff"
    pairs = (encode(one) + encode(value[one]) for one in value)
    return struct.pack(">bi", 10, len(value)) + b"".join(pairs)
def decode(file):
    code = file.read(1)
    if code in (b"", b"\\xff"): return None
    take = lambda form: struct.unpack(form, file.read(struct.calcsize(form)))[0]
    code = code[0]
    if code == 1: return take(">b")
    if code == 2: return take(">b") != 0
    if code in (3, 4, 5, 6): return take({3: ">i", 4: ">q", 5: ">f", 6: ">d"}[code])
    if code == 0: return file.read(take(">i"))
    if code == 7: return file.read(take(">i")).decode()
    if code == 8: return tuple(decode(file) for _ in range(take(">i")))
    if code == 9: return list(iter(lambda: decode(file), None))
    return {decode(file): decode(file) for _ in range(take(">i"))}
def pairs():
    while True:
        key = decode(sys.stdin.buffer)
        if key is None: return
        yield key, decode(sys.stdin.buffer)
def write(key, value): sys.stdout.buffer.write(encode(key) + encode(value))
def raws():
    while True:
        head = sys.stdin.buffer.read(4)
        if not head: return
        key = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
        yield key, sys.stdin.buffer.read(struct.unpack(">I", sys.stdin.buffer.read(4))[0])
def raw(*pieces):
    for piece in pieces: sys.stdout.buffer.write(struct.pack(">I", len(piece)) + piece)
role = sys.argv[1]
if role == "map":
    for offset, line in pairs():
        for at, word in enumerate(line.split()):
            kinds = [word, at, (offset, word), [word, True], {word: 1.5}, word.encode(), 2.0**at, 2**40 + at]
            write(kinds[(at + len(word)) % len(kinds)], 1)
elif role == "reduce":
    for key, group in groupby(pairs(), lambda pair: encode(pair[0])):
        group = list(group)
        write(group[0][0], sum(one for _, one in group))
elif role == "map-text":
    for offset, line in pairs():
        for word in line.split(): print(word + "\\t1")
elif role == "map-of-text":
    for line in sys.stdin:
        for word in line.split(): write(word, len(word))
elif role == "reduce-to-text":
    for key, value in pairs(): print("%s\\t%s" % (key, value))
elif role == "raw-map":
    for key, line in raws():
        for word in line[1:].split(): raw(word, bytes([len(word), 255, 0]))
elif role == "raw-reduce":
    for key, group in groupby(raws(), lambda pair: pair[0]):
        raw(key, b"".join(value for _, value in group)[:9])
elif role == "raw-look":
    for key, line in raws(): raw(key, line)
`;
