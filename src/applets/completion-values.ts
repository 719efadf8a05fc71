// What values the options and operands of our commands take, as completions offer them.

import { ACTIONS } from '../udev/synthetic.ts';
import type { Typed } from './completion-words.ts';
import { LOG_LEVELS } from './log.ts';

/** What must be looked up on the machine. `node`: a name below /dev; `device`: that or its path. */
export type ValueKind = 'module' | 'loaded' | 'parameter' | 'release' | 'subsystem' | 'node' | 'device' | 'builtin';

export type Values = {
  readonly kind?: ValueKind;
  readonly words?: readonly string[];
  /** What the shell itself is to offer, too. */
  readonly also?: 'files' | 'directories';
};

const NOTHING: Values = {};
const FILE: Values = { also: 'files' };
const DIRECTORY: Values = { also: 'directories' };
const DEVICE: Values = { kind: 'device' };
const SUBSYSTEM: Values = { kind: 'subsystem' };
const RELEASE: Values = { kind: 'release' };

/** By the option's long name, or by `APPLET --NAME` where applets differ. A test fails for an option that is not here. */
const OPTION_VALUES: Readonly<Record<string, Values>> = {
  action: { words: ACTIONS },
  add: FILE,
  append: NOTHING,
  'attr-match': NOTHING,
  'attr-nomatch': NOTHING,
  backing: FILE,
  bundle: FILE,
  basedir: DIRECTORY,
  capture: DEVICE,
  chaos: NOTHING,
  'children-max': NOTHING,
  compress: { words: ['auto', 'gzip', 'xz', 'zstd', 'none'] },
  config: FILE,
  delay: NOTHING,
  'depmod-config': FILE,
  device: DEVICE,
  'vm --device': NOTHING,
  'device-id-of-file': FILE,
  directory: DIRECTORY,
  dirname: DIRECTORY,
  disk: FILE,
  'event-timeout': NOTHING,
  'exec-delay': NOTHING,
  'exit-if-exists': FILE,
  'export-prefix': NOTHING,
  field: { words: ['alias', 'author', 'depends', 'description', 'filename', 'firmware', 'intree', 'license', 'name', 'parm', 'retpoline', 'softdep', 'srcversion', 'vermagic', 'version'] },
  file: FILE,
  filesyms: FILE,
  'record --for': NOTHING,
  for: { kind: 'module', also: 'files' },
  'bundle --format': { words: ['erofs', 'cpio', 'squashfs', 'ext4'] },
  format: { words: ['human', 'tmpfiles', 'devname'] },
  from: FILE,
  helper: { words: ['ours', 'none'] },
  hooks: DIRECTORY,
  include: NOTHING,
  init: FILE,
  initialized: { words: ['yes', 'no'] },
  initrd: FILE,
  iterations: NOTHING,
  jobs: NOTHING,
  'info --json': { words: ['pretty', 'short', 'off'] },
  kernel: { words: ['6.12', '6.1', '6.12-cloud'], also: 'files' },
  kvm: { words: ['auto', 'off'] },
  layout: { words: ['pre', 'post'] },
  'listening-fd': NOTHING,
  log: FILE,
  'log-level': { words: LOG_LEVELS },
  'control --log-level': { words: ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] },
  'log-priority': { words: LOG_LEVELS },
  'log-target': { words: ['stderr', 'kmsg'] },
  'bundle --machine': DIRECTORY,
  'initramfs --machine': DIRECTORY,
  'vm --machine': { words: ['minimal', 'q35'] },
  machine: FILE,
  memory: NOTHING,
  moduledir: NOTHING,
  modules: FILE,
  name: { kind: 'node' },
  'name-match': { kind: 'node' },
  need: { words: ['root', 'keyboard', 'network'] },
  node: FILE,
  offset: NOTHING,
  out: DIRECTORY,
  outdir: DIRECTORY,
  output: FILE,
  overlay: DIRECTORY,
  'parent-match': DEVICE,
  path: FILE,
  'prioritized-subsystem': SUBSYSTEM,
  program: FILE,
  property: NOTHING,
  env: NOTHING,
  'property-match': NOTHING,
  qmp: FILE,
  query: { words: ['name', 'symlink', 'path', 'property', 'all'] },
  'ready-fd': NOTHING,
  release: RELEASE,
  'resolve-names': { words: ['early', 'late', 'never'] },
  root: DIRECTORY,
  'initramfs --root': { words: ['none', 'LABEL=', 'UUID=', 'PARTUUID=', 'PARTLABEL=', 'ID='], also: 'files' },
  rules: FILE,
  run: NOTHING,
  select: { kind: 'module' },
  'seq-end': NOTHING,
  'seq-start': NOTHING,
  'set-version': RELEASE,
  settle: NOTHING,
  share: FILE,
  smp: NOTHING,
  'subsystem-match': SUBSYSTEM,
  'subsystem-nomatch': SUBSYSTEM,
  'symbol-prefix': NOTHING,
  symvers: FILE,
  sysfs: DIRECTORY,
  'sysname-match': NOTHING,
  'tag-match': NOTHING,
  test: NOTHING,
  timeout: NOTHING,
  'timeout-signal': NOTHING,
  type: { words: ['devices', 'subsystems', 'all'] },
  until: { kind: 'module', also: 'files' },
  wait: NOTHING,
  'wait-daemon': NOTHING,
  'wait-for-initialization': NOTHING,
};

/** By applet. Where there is none, nothing is offered. */
const OPERANDS: Readonly<Record<string, (operands: readonly string[], typed: Typed) => Values>> = {
  modprobe: (operands, typed) => (typed.has('remove') || typed.has('remove-holders') ? { kind: 'loaded' }
    : operands.length === 0 || typed.has('all') ? { kind: 'module' } : { kind: 'parameter' }),
  insmod: ([file]) => (file === undefined ? FILE : NOTHING),
  rmmod: () => ({ kind: 'loaded' }),
  modinfo: () => ({ kind: 'module', also: 'files' }),
  depmod: ([release]) => (release === undefined ? RELEASE : FILE),
  doctor: () => ({ kind: 'module', also: 'files' }),
  probe: () => FILE,
  replay: () => FILE,
  why: () => ({ kind: 'module', also: 'files' }),
  bundle: ([word]) => (word === undefined ? { words: ['create', 'add', 'list', 'info', 'verify', 'extract'] } : FILE),
  check: () => FILE,
  diff: () => FILE,
  helper: ([word]) => (word === undefined ? { words: ['install', 'remove', 'status'] } : NOTHING),
  initramfs: ([word, directory]) => (word === undefined ? { words: ['create', 'stage'] } : word === 'stage' && directory === undefined ? DIRECTORY : NOTHING),
  completion: ([word]) => (word === undefined ? { words: ['bash', 'zsh', 'fish'] } : NOTHING),
  vm: () => FILE,
  info: () => DEVICE,
  trigger: () => DEVICE,
  test: () => DEVICE,
  'test-builtin': ([builtin]) => (builtin === undefined ? { kind: 'builtin' } : DEVICE),
  verify: () => FILE,
  wait: () => DEVICE,
  lock: () => FILE,
  apply: () => DEVICE,
  'test-rules': () => FILE,
};

/** The values of an option, or undefined where nobody has said. */
export function knownValues(option: string, applet: string): Values | undefined {
  return OPTION_VALUES[`${applet} --${option}`] ?? OPTION_VALUES[option];
}

export function valuesOf(option: string, applet: string): Values {
  return knownValues(option, applet) ?? FILE;
}

export function operandsOf(applet: string, operands: readonly string[], typed: Typed): Values {
  return OPERANDS[applet]?.(operands, typed) ?? NOTHING;
}

/** Paths are completed by the shell: it knows how to go down a directory at a time. */
export function isPathOfDevice(kind: ValueKind | undefined, word: string): boolean {
  return (kind === 'device' || kind === 'node') && word.startsWith('/');
}
