// What a kernel's list of tasks (SysRq t) says of the programs: their names, states, and what they wait in.

export type GuestTask = {
  readonly name: string;
  readonly pid: number;
  /** As ps shows it: `R` runs, `S` sleeps, `D` waits and cannot be interrupted. */
  readonly state: string;
  /** The function of the kernel that it waits in. */
  readonly where: string | undefined;
};

/** By kernels from 5.14 on. */
const TASK = /task:(.+?) +state:(\S+) .*? pid:(\d+) .*?ppid:(\d+)/;
const FRAME = /(?:^|\] ) +(\w+)(?:\.\w+)*\+0x[\da-f]+\/0x[\da-f]+/;
/** What everyone who waits is in. */
const SCHEDULER = /^(?:__|raw_|io_)?schedule(?:$|_)/;
const KTHREADD = 2;

/** The programs, without the kernel's own threads, in the order of the list. */
export function parseGuestTasks(text: string): readonly GuestTask[] {
  const tasks: { name: string; pid: number; parent: number; state: string; where: string | undefined }[] = [];
  for (const line of text.split('\n')) {
    const [, name, state, pid, parent] = TASK.exec(line) ?? [];
    const frame = FRAME.exec(line)?.[1];
    const last = tasks.at(-1);
    if (name !== undefined && state !== undefined) tasks.push({ name, pid: Number(pid), parent: Number(parent), state, where: undefined });
    else if (last && last.where === undefined && frame !== undefined && !SCHEDULER.test(frame)) last.where = frame;
  }
  return tasks.filter(({ pid, parent }) => pid !== KTHREADD && parent !== KTHREADD).map(({ name, pid, state, where }) => ({ name, pid, state, where }));
}

/** One line for people. */
export function formatGuestTask({ name, pid, state, where }: GuestTask): string {
  return `${name} (${pid}) ${state}${where === undefined ? '' : ` in ${where}`}`;
}
