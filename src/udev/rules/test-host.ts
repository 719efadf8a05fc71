// The machine of a case: its devices in a directory of their own, its answers, and nothing of the machine that the test runs on.

import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openSystem } from '../../system.ts';
import type { Log, Roots, System } from '../../system.ts';
import type { Builtin } from '../builtin/builtin.ts';
import { openBuiltins } from '../builtin/table.ts';
import { deviceBySyspath } from '../device-lookup.ts';
import type { Device } from '../device.ts';
import { parseImport } from '../import-lines.ts';
import { writeMockSysfs } from '../mock-sysfs.ts';
import type { CapturedDevice } from '../umockdev.ts';
import type { RulesHost } from './host.ts';
import { systemRulesHost } from './system-host.ts';
import type { CaseAnswer, TestCase } from './test-case.ts';

/** These look at sysfs only: they run on the captured devices, where the case has no answer. */
const PURE_BUILTINS = ['input_id', 'net_id', 'path_id', 'usb_id'];

/** Ids for names: every name exists. */
export class NameTable {
  private readonly ids = new Map([['root', 0]]);

  id(name: string): number {
    const known = this.ids.get(name) ?? (/^[0-9]{1,9}$/.test(name) ? Number(name) : undefined);
    if (known !== undefined) return known;
    const id = FIRST_ID + this.ids.size;
    this.ids.set(name, id);
    return id;
  }

  name(id: number | undefined): string | undefined {
    if (id === undefined) return undefined;
    for (const [name, known] of this.ids) if (known === id) return name;
    return String(id);
  }
}

/** Above what anybody writes as a number. */
const FIRST_ID = 1_000_000_000;

export interface MockMachine {
  readonly devices: readonly CapturedDevice[];
  device(devpath: string): Device | undefined;
  /** `written` and `unanswered` are filled while rules run. */
  host(test: TestCase, device: Device, options: { readonly names: NameTable; readonly log: Log }): { readonly host: RulesHost; readonly written: readonly string[]; readonly unanswered: ReadonlySet<string> };
  close(): void;
}

/** `sys` and `dev` are what rules and cases call them: nothing there is read. The directory is below that for temporary files. Throws as the file system does. */
export function openMockMachine({ sys, dev }: Pick<Roots, 'sys' | 'dev'>, devices: readonly CapturedDevice[]): MockMachine {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'tsudev-rules-')));
  const mock = join(root, 'sys');
  try {
    writeMockSysfs(mock, devices);
  } catch (error) {
    rmSync(root, { recursive: true, force: true });
    throw error;
  }
  const open = (log: Log): System => openSystem({ root, roots: { dev }, log, env: {} });
  /** A path as rules name it, where it is. */
  const place = (path: string): string | undefined => (path === sys || path.startsWith(`${sys}/`) ? mock + path.slice(sys.length) : path.startsWith(`${root}/`) ? path : undefined);
  const records = new Map(devices.map(({ devpath, record }) => [devpath, record]));
  return {
    devices,
    device: (devpath) => deviceBySyspath(open(SILENT), mock + devpath),
    host(test, { syspath: own }, { names, log }) {
      const system = open(log);
      const written: string[] = [];
      const unanswered = new Set<string>();
      const builtins = openBuiltins(system);
      const real = systemRulesHost(system, { writes: false, globals: test.globals, record: ({ devpath }) => records.get(devpath) });
      const found = new Map<string, Builtin | undefined>();
      const host: RulesHost = {
        ...real,
        roots: { sys, dev },
        runProgram(command) {
          const answer = test.programs.get(command);
          if (!answer) unanswered.add(`program: ${command}`);
          return { status: answer?.status ?? 127, stdout: answer?.output ?? '', truncated: false };
        },
        builtin(name) {
          if (!found.has(name)) found.set(name, answering(name, test.builtins, PURE_BUILTINS.includes(name) ? builtins(name) : undefined, unanswered));
          return found.get(name);
        },
        userId: (name) => names.id(name),
        groupId: (name) => names.id(name),
        cmdline: () => test.cmdline,
        constant: (name) => test.constants.get(name) ?? (name === 'virt' ? 'none' : 'x86-64'),
        readText: (path) => test.files.get(path) ?? real.readText(place(path) ?? ''),
        modeOf: (path) => (test.files.has(path) ? S_IFREG : real.modeOf(place(path) ?? '')),
        namesIn: (path) => real.namesIn(place(path) ?? ''),
        readSysctl: (name) => test.sysctls.get(name),
        writeAttribute(path, value) {
          written.push(`ATTR{${path.startsWith(`${own}/`) ? path.slice(own.length + 1) : path.replace(mock, sys)}}=${value}`);
          return undefined;
        },
        writeSysctl(name, value) {
          written.push(`SYSCTL{${name}}=${value}`);
          return undefined;
        },
      };
      return { host, written, unanswered };
    },
    close: () => rmSync(root, { recursive: true, force: true }),
  };
}

const S_IFREG = 0o100644;

const SILENT: Log = { error: () => undefined, warn: () => undefined, notice: () => undefined, info: () => undefined, debug: () => undefined };

/** The answer for the whole command, or for the builtin whatever its arguments; else the builtin itself. */
function answering(name: string, answers: ReadonlyMap<string, CaseAnswer>, real: Builtin | undefined, unanswered: Set<string>): Builtin {
  return {
    name,
    help: '',
    // As of the builtins themselves; of others, the answer is the same each time.
    runOnce: real?.runOnce ?? false,
    run(context, argv) {
      const answer = answers.get(argv.join(' ')) ?? answers.get(name);
      if (answer) return answer.status === 0 ? parseImport(answer.output).properties : undefined;
      if (real) return real.run(context, argv);
      unanswered.add(`builtin: ${argv.join(' ')}`);
      return undefined;
    },
  };
}
