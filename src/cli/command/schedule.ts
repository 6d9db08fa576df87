import { SheafError } from "../../base/errors.ts";
import { escapeControls } from "../../base/escape-controls.ts";
import type { ClusterRunOptions } from "../../engine/options.ts";
import type { ScheduleView } from "../../protocol/schedule.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import { withCluster } from "../connection.ts";
import { inCategory, types, valueFlag } from "../flag.ts";
import { shortTime, textTable } from "../ui/text.ts";
import { type World, writeJson, writeTo } from "../world.ts";
import { askedRun } from "./run/asked.ts";
import { checkRunFlags, runOptions } from "./run/options.ts";
import { detached, submitFlags } from "./submit.ts";

const actions = ["list", "add", "remove", "pause", "resume"] as const;

export const scheduleFlags = {
  ...submitFlags,
  ...inCategory("Job", {
    tz: valueFlag("--tz ZONE", types.string, "Time zone of the pattern: Europe/Berlin, America/New_York", {
      default: "UTC",
    }),
    as: valueFlag("--as NAME", types.string, "Name of the schedule", { default: "the job's name" }),
    missed: valueFlag(
      "--missed HOW",
      types.choice(["skip", "run"]),
      "When the coordinator did not run at the time: skip it, or run once when it is back",
      { default: "skip" },
    ),
    overlap: valueFlag(
      "--overlap HOW",
      types.choice(["skip", "run"]),
      "When the run before is not over: skip this one, or run it beside",
      { default: "skip" },
    ),
  }),
};

export const scheduleCommand: CliCommand<typeof scheduleFlags> = {
  name: "schedule",
  summary: "Have a cluster's coordinator submit a job by the clock",
  details: [
    "add JOB PATTERN [INPUT...] takes the flags of sheaf submit. PATTERN is minute, hour, day of month, month and day of " +
      'week (0 and 7 are Sunday), "0 3 * * *" being 3:00 every day, or @hourly, @daily, @weekly, @monthly, @yearly. The ' +
      "job's code is stored as it is now, its inputs as they are given: files and patterns are listed when it runs.",
    "Where clocks change: a pattern whose minute and hour are plain numbers runs once a day, at the end of the gap that " +
      "its time falls into, and the first of two times of the same name. Any other runs whenever the clocks show what " +
      "it says: not in a gap, and twice in an hour that comes twice.",
    "list (the default) shows all schedules, what came of the last time and what was missed; remove, pause and resume " +
      "take a NAME. Jobs that run go on.",
  ],
  arguments: [
    {
      name: "ACTION",
      doc: "list, add, remove, pause or resume; default: list",
      required: false,
      choices: actions,
    },
    {
      name: "JOB|NAME",
      doc: "Of add: the job file, or a name of sheaf.json; else the schedule",
      required: false,
    },
    { name: "PATTERN", doc: "Of add: when", required: false },
    {
      name: "INPUT",
      doc: "Files, directories and globs as the agents see them, or agent:/PATH for files of each agent's own",
      required: false,
      many: true,
      complete: "path",
    },
  ],
  flags: scheduleFlags,
  examples: [
    [
      "sheaf schedule add daily.ts '0 3 * * *' /mnt/logs --tz Europe/Madrid --on http://10.0.0.5:7077",
      "At night",
    ],
    [
      "sheaf schedule add count.ts '*/15 * * * *' /mnt/in -o /mnt/out --shared --overwrite --once",
      "When there is news",
    ],
    ["sheaf schedule", "All of them, and when they run next"],
    ["sheaf schedule pause daily", "Until sheaf schedule resume daily"],
  ],
  run,
};

async function run(invocation: Invocation<typeof scheduleFlags>): Promise<ExitCode> {
  const { flags, positionals, world } = invocation;
  const [action = "list", name, ...rest] = positionals;
  if (action === "add") return add(invocation);
  if (action === "list") {
    return withCluster(flags, world, async (api) => {
      await tell(await api.schedules(), flags.json === true, world);
      return exitCodes.ok;
    });
  }
  if (name === undefined || rest.length > 0) {
    throw new SheafError(
      "USAGE",
      `sheaf schedule ${action}: ${name === undefined ? "which one?" : "one at a time"}`,
      {
        hint: `Give its name: sheaf schedule ${action} NAME. sheaf schedule lists them.`,
      },
    );
  }
  return withCluster(flags, world, async (api) => {
    const schedule =
      action === "remove"
        ? await api.removeSchedule(name)
        : await api.pauseSchedule(name, action === "pause");
    if (flags.json === true) await writeJson(world, schedule);
    else await writeTo(world.stdout, `${doneText(action, schedule)}\n`);
    return exitCodes.ok;
  });
}

function doneText(action: string, { name, nextTime }: ScheduleView): string {
  if (action === "remove") return `${name} is removed`;
  return action === "pause" ? `${name} is paused` : `${name} runs next at ${timeText(nextTime)}`;
}

async function add({ flags, positionals, world }: Invocation<typeof scheduleFlags>): Promise<ExitCode> {
  const [, word, cron, ...inputs] = positionals;
  if (word === undefined || cron === undefined) {
    throw new SheafError("USAGE", `sheaf schedule add: ${word === undefined ? "which job?" : "when?"}`, {
      hint: "Write sheaf schedule add JOB 'MINUTE HOUR DAY MONTH WEEKDAY' [INPUT...], the pattern in quotes.",
    });
  }
  const asked = await askedRun({ flags: detached(flags), positionals: [word, ...inputs] }, world);
  const { runner, job } = asked;
  if (runner !== "cluster") {
    throw new SheafError("USAGE", "sheaf schedule needs a cluster, and none is named", {
      hint: "Give --on URL of its coordinator, or set $SHEAF_ON.",
    });
  }
  checkRunFlags(asked.flags, runner);
  const options = await runOptions(runner, { ...asked, delivery: null }, world);
  const { scheduleOnCluster } = await import("../../client/cluster-run.ts");
  const schedule = await scheduleOnCluster(job.file, options as ClusterRunOptions, {
    name: flags.as ?? null,
    cron,
    timeZone: flags.tz ?? "UTC",
    missed: flags.missed ?? "skip",
    overlap: flags.overlap ?? "skip",
  });
  if (flags.json === true) await writeJson(world, schedule);
  else {
    const { name, timeZone, nextTime } = schedule;
    await writeTo(world.stdout, `${name}: "${cron}" in ${timeZone}, next at ${timeText(nextTime)}\n`);
  }
  return exitCodes.ok;
}

function timeText(time: string | null): string {
  return time === null ? "no time" : `${shortTime(time)} UTC`;
}

async function tell(schedules: readonly ScheduleView[], json: boolean, world: World): Promise<void> {
  if (json) {
    await writeJson(world, { schedules, truncated: false });
    return;
  }
  if (schedules.length === 0) {
    await writeTo(world.stderr, "no schedules; add one: sheaf schedule add JOB '0 3 * * *' [INPUT...]\n");
    return;
  }
  const columns = [
    "SCHEDULE",
    "PATTERN",
    "ZONE",
    "NEXT (UTC)",
    "JOB",
    ">RUNS",
    ">MISSED",
    ">OVERLAPS",
    "LAST",
  ];
  const rows = schedules.map((one) => [
    one.name,
    escapeControls(one.cron),
    one.timeZone,
    one.paused ? "paused" : one.nextTime === null ? "never" : shortTime(one.nextTime),
    escapeControls(one.job),
    String(one.counts.started),
    String(one.counts.missed),
    String(one.counts.overlapped),
    lastText(one.last),
  ]);
  await writeTo(world.stdout, `${textTable(columns, rows).join("\n")}\n`);
}

function lastText(last: ScheduleView["last"]): string {
  if (last === null) return "";
  const { time, outcome, job, message } = last;
  const more = outcome === "started" ? (job ?? "") : escapeControls(message ?? "");
  return `${outcome} ${shortTime(time)}${more === "" ? "" : `: ${more}`}`;
}
