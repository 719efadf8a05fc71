// request_module() of the kernel, in one guest: our helper and daemon beside kmod's modprobe, which take turns. The times are those of an
// emulated processor, where each instruction costs the same: of use as ratios.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { debianGuest } from './debian-guest.mjs';
import { top } from './setup.mjs';

/** As many as the kernel asks for at one time (MAX_KMOD_CONCURRENT). */
const REQUESTS = 50;
const ROUNDS = 12;
/** Of the daemon's growth and of the helpers together. */
const LIMIT_MB = 5;
const OURS = '/app/tskmod-helper';
const KMODS = '/kmod/modprobe';

const SCRIPT = `
modprobe rc-core
mkfifo /tmp/ready
tsudevd --ready-fd 5 5> /tmp/ready 2> /dev/null &
daemon=$!
read -r line < /tmp/ready
${OURS} --ping || exit 9
/bench $ROUNDS $daemon ${KMODS} ${OURS} $MODULES > /tmp/figures 2>&1
status=$?
vmctl put /tmp/figures
exit $status
`;

/**
 * @param {import('../src/vm/kernel.ts').Kernel} kernel
 * @returns {Promise<readonly { name: string, unit: string, ours: readonly number[], theirs: readonly number[] | undefined, whose: string, target?: import('./bench-result.mjs').Target }[]>}
 *   memory is the growth of the daemon and the proportional set of the helpers, then what the whole system had less of free memory, also for the kernel's own needs
 */
export async function benchHelper(kernel) {
  const { runVm } = await import(join(top, 'dist/src/vm/vm.js'));
  const { selectModules } = await import(join(top, 'dist/src/vm/select.js'));
  const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-bench-'));
  try {
    const program = join(scratch, 'bench');
    const { status, stderr, error } = spawnSync(process.env.CC ?? 'cc', ['-static', '-O2', join(top, 'scripts/bench-helper.c'), '-o', program], { encoding: 'utf8' });
    if (error ?? status !== 0) throw new Error(`cc: ${error?.message ?? stderr}`);
    const modules = keymaps(kernel);
    const conf = join(scratch, 'conf');
    // What the helper runs where the daemon is too slow for it.
    const fallback = join(scratch, 'fallback');
    writeFileSync(fallback, `${KMODS}\n`);
    writeFileSync(conf, modules.map((name, index) => `alias tcp_${index + 1} ${name}\n`).join(''));
    const result = await runVm({
      kernel, modules: await selectModules(kernel.modules, kernel.release, ['kernel/**/rc-core', 'kernel/**/rc-[d-t]*']), timeoutSeconds: 300, command: SCRIPT,
      environment: { ROUNDS: String(ROUNDS), MODULES: modules.map((name) => name.replaceAll('-', '_')).join(' ') },
      files: [
        { source: program, target: '/bench' }, { source: conf, target: '/etc/modprobe.d/bench.conf' }, { source: fallback, target: '/etc/tsmodprobe/helper.conf' }, { source: join(top, 'dist/tskmod-helper'), target: OURS },
        ...debianGuest().files.filter(({ target }) => target === KMODS),
      ],
    });
    const figures = result.files.get('figures')?.toString() ?? '';
    if (result.exitCode !== 0) throw new Error(`guest: exit code ${result.exitCode}\n${figures}\n${result.console}`);
    return rowsOf(figures);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** @param {string} figures lines of `WHAT PROGRAM NUMBER` */
function rowsOf(figures) {
  const series = new Map();
  for (const line of figures.split('\n').filter(Boolean)) {
    const [what, program, value] = line.split(' ');
    const key = `${what} ${program}`;
    series.set(key, [...series.get(key) ?? [], Number(value)]);
  }
  /** The first one is to warm up. */
  const samples = (what, program, scale) => (series.get(`${what} ${program}`) ?? []).slice(1).map((value) => value / scale);
  const MB = 1e6;
  const row = (name, what, unit, scale, target) => ({ name, unit, ours: samples(what, OURS, scale), theirs: samples(what, KMODS, scale), whose: 'kmod', ...(target ? { target } : {}) });
  const helpers = samples('helpers', OURS, MB);
  return [
    row('request_module in the VM', 'one', 'ms', 1000, { ratio: 0.8 }),
    row(`${REQUESTS} at once`, 'all', 'ms', 1000, { ratio: 0.8 }),
    { name: 'extra memory, daemon and helpers', unit: 'MB', ours: samples('daemon', OURS, MB).map((size, round) => size + (helpers[round] ?? NaN)), theirs: undefined, whose: `of ${REQUESTS} at once`, target: { ours: LIMIT_MB } },
    row('all that was gone meanwhile', 'peak', 'MB', MB), row('and after it', 'kept', 'MB', MB),
  ];
}

/** Small modules, which need rc-core alone. */
function keymaps({ modules }) {
  const names = readFileSync(join(modules, 'modules.dep'), 'utf8').split('\n').flatMap((line) => /^kernel\/drivers\/media\/rc\/keymaps\/(rc-[d-t][^/:]*?)\.ko[^:]*: \S+\/rc-core\.ko\S*$/.exec(line)?.[1] ?? []);
  if (names.length < REQUESTS) throw new Error(`${modules} has ${names.length} key maps only`);
  return names.slice(0, REQUESTS);
}
