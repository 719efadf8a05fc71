// One event from its message to its broadcast, in a fixture root.

import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { FakeNative } from '../../native-bindings/fake.ts';
import type { System } from '../../src/system.ts';
import { parseBroadcast } from '../../src/udev/broadcast.ts';
import { recordOf } from '../../src/udev/database.ts';
import { processEvent } from '../../src/udev/event.ts';
import type { EventMachine } from '../../src/udev/event.ts';
import { parseRules } from '../../src/udev/rules/parse.ts';
import { systemRulesHost } from '../../src/udev/rules/system-host.ts';
import type { SystemHostOptions } from '../../src/udev/rules/system-host.ts';
import type { Activity } from '../../src/udev/queue.ts';
import { parseUeventMessage } from '../../src/udev/uevent.ts';
import { recordingLog, type RecordingLog } from '../fixture-root.ts';
import { addDevices, makeRoot, testSystem, ueventBytes } from './fakes.ts';
import type { TemporaryRoot } from './fakes.ts';

const NULL = '/devices/virtual/mem/null';

let root: TemporaryRoot;
let native: FakeNative;
let lines: RecordingLog['records'];
let system: System;
beforeEach(() => {
  root = makeRoot();
  native = openFakeNative();
  const recording = recordingLog();
  lines = recording.records;
  system = testSystem(root.path, { native, log: recording });
  addDevices(root.path, { [NULL]: { uevent: 'MAJOR=1\nMINOR=3\nDEVNAME=null\n', subsystem: 'mem' } });
});
afterEach(() => root.remove());

/** Rules, and what happened in its order: activities of the handler, begins and ends of watches. */
function machine(rules: string, options: SystemHostOptions = {}) {
  const seen: string[] = [];
  const text = ({ what, name, rule }: Activity): string => [what, name, rule].filter(Boolean).join(' ');
  const host = systemRulesHost(system, {
    record: (device) => recordOf(system, device),
    ...options,
  });
  const parsed = parseRules(Buffer.from(rules), 'x.rules', { resolveUser: () => undefined, resolveGroup: () => undefined });
  const made: EventMachine = {
    system, host, rules: { files: [parsed.rules] }, report: (activity) => seen.push(text(activity)),
    watch: { begin: ({ sysname }) => seen.push(`begin ${sysname}`), end: ({ sysname }) => seen.push(`end ${sysname}`) },
  };
  return { machine: made, seen };
}

const event = (action: string, devpath = NULL, more: Readonly<Record<string, string>> = { SUBSYSTEM: 'mem', MAJOR: '1', MINOR: '3', DEVNAME: 'null' }) => (
  parseUeventMessage(ueventBytes({ ACTION: action, DEVPATH: devpath, SEQNUM: '5', ...more }))
);

const broadcasts = (): readonly ReadonlyMap<string, string>[] => (
  native.calls.flatMap((call) => (call.call === 'sendUevent' ? [parseBroadcast(Buffer.from(call.text, 'latin1'))] : []))
);

describe('processEvent', () => {
  it('makes node, links, tags and record before the programs run, and tells others after them', async () => {
    const out = join(root.path, 'out');
    const { machine: made, seen } = machine([
      `RUN+="/bin/sh -c 'cat ${root.path}/run/udev/data/c1:3 >${out}; readlink ${root.path}/dev/l/a >>${out}; echo $$A $$DEVLINKS >>${out}'"`,
      'SYMLINK+="l/a", TAG+="t", ENV{A}="1", MODE="0640", OPTIONS+="watch"',
    ].join('\n'));
    const outcome = await processEvent(made, event('add'));
    expect(outcome.failures).toEqual([]);
    expect(readFileSync(out, 'utf8')).toBe(`S:l/a\nI:1000000\nE:A=1\nG:t\nQ:t\nV:1\n../null\n1 ${root.path}/dev/l/a\n`);
    expect(seen.map((each) => each.replace(/'.*'/, '…'))).toEqual(['begin null', 'rules', 'program /bin/sh -c … x.rules:1', 'end null']);
    expect(native.calls.flatMap((call) => (call.call === 'mknod' ? [[call.path, call.mode.toString(8), call.major, call.minor]] : [])))
      .toEqual([[join(root.path, 'dev/null'), '20640', 1, 3]]);
    expect(existsSync(join(root.path, 'run/udev/tags/t/c1:3'))).toBe(true);
    expect(broadcasts().map((properties) => Object.fromEntries(properties))).toEqual([{
      ACTION: 'add', DEVPATH: NULL, SUBSYSTEM: 'mem', MAJOR: '1', MINOR: '3', DEVNAME: `${root.path}/dev/null`, SEQNUM: '5', A: '1',
      DEVLINKS: `${root.path}/dev/l/a`, TAGS: ':t:', CURRENT_TAGS: ':t:', USEC_INITIALIZED: '1000000',
    }]);
    expect(native.calls.at(-1)?.call).toBe('sendUevent');
  });

  it('undoes all of it when the device is removed, whose properties the rules and listeners still see', async () => {
    const out = join(root.path, 'out');
    const { machine: made } = machine(`ACTION=="add", SYMLINK+="l/a", TAG+="t", ENV{A}="1"\nACTION=="remove", ENV{A}=="1", RUN+="/bin/sh -c 'echo $$A >${out}'"`);
    await processEvent(made, event('add'));
    rmSync(join(root.path, 'sys', NULL), { recursive: true });
    await processEvent(made, event('remove'));
    expect(readFileSync(out, 'utf8')).toBe('1\n');
    expect(['data/c1:3', 'tags/t/c1:3'].map((name) => existsSync(join(root.path, 'run/udev', name)))).toEqual([false, false]);
    expect(existsSync(join(root.path, 'dev/l'))).toBe(false);
    expect(Object.fromEntries(broadcasts().at(-1) ?? [])).toMatchObject({ ACTION: 'remove', A: '1', TAGS: ':t:', DEVLINKS: `${root.path}/dev/l/a` });
  });

  it('renames an interface, and tells its new name', async () => {
    const devpath = '/devices/pci/net/eth0';
    addDevices(root.path, { [devpath]: { uevent: 'INTERFACE=eth0\nIFINDEX=7\n', subsystem: 'net' } });
    const { machine: made } = machine('NAME="lan0"');
    await processEvent(made, event('add', devpath, { SUBSYSTEM: 'net', INTERFACE: 'eth0', IFINDEX: '7' }));
    expect(native.calls.filter(({ call }) => call === 'renameInterface')).toEqual([{ call: 'renameInterface', ifindex: 7, name: 'lan0' }]);
    expect(Object.fromEntries(broadcasts()[0] ?? [])).toMatchObject({ DEVPATH: '/devices/pci/net/lan0', INTERFACE: 'lan0', INTERFACE_OLD: 'eth0' });
    expect(existsSync(join(root.path, 'run/udev/data/n7'))).toBe(true);
    // On any other event its name stays.
    await processEvent(made, event('change', devpath, { SUBSYSTEM: 'net', INTERFACE: 'eth0', IFINDEX: '7' }));
    expect(native.calls.filter(({ call }) => call === 'renameInterface')).toHaveLength(1);
  });

  it('goes on after programs that fail, are not there or take too long, and says which of which rule', async () => {
    const out = join(root.path, 'out');
    const { machine: made } = machine(
      `RUN+="/bin/sh -c 'exit 3'"\nRUN+="/no/such"\nRUN+="/bin/sh -c 'sleep 300 & sleep 300'"\nRUN{builtin}+="blkid"\nRUN+="/bin/sh -c 'echo last >${out}'"`, { timeoutMs: 200 },
    );
    const outcome = await processEvent(made, event('change'));
    expect(outcome.failures.map(({ run, reason }) => `${run.source.line} ${reason}`)).toEqual(['1 exit code 3', '2 not found', '3 timed out after 0.2s']);
    expect(readFileSync(out, 'utf8')).toBe('last\n');
    expect(broadcasts()).toHaveLength(1);
    expect(lines.filter(({ code }) => code === 'run-failed').map(({ message }) => message)).toEqual([
      "null: '/bin/sh -c 'exit 3'' of x.rules:1 failed: exit code 3", "null: '/no/such' of x.rules:2 failed: not found",
      "null: '/bin/sh -c 'sleep 300 & sleep 300'' of x.rules:3 failed: timed out after 0.2s",
    ]);
  });

  it('works off a device that has vanished meanwhile with what its message said', async () => {
    rmSync(join(root.path, 'sys', NULL), { recursive: true });
    const { machine: made } = machine('ATTR{size}=="*", ENV{SIZE}="$attr{size}"\nATTRS{x}=="1", ENV{X}="1"\nENV{SEEN}="$major:$minor", ATTR{a}="1", SYMLINK+="l/a"');
    const outcome = await processEvent(made, event('add'));
    expect(Object.fromEntries(outcome.result.databaseProperties)).toEqual({ SEEN: '1:3' });
    expect(broadcasts()).toHaveLength(1);
    await processEvent(made, event('remove'));
    expect([existsSync(join(root.path, 'run/udev/data/c1:3')), existsSync(join(root.path, 'dev/l'))]).toEqual([false, false]);
  });

  it('is not stopped by attributes that are pipes, directories or cannot be read', async () => {
    const { spawnSync } = await import('node:child_process');
    const directory = join(root.path, 'sys', NULL);
    spawnSync('mkfifo', [join(directory, 'fifo'), join(directory, 'out')]);
    mkdirSync(join(directory, 'folder'));
    writeFileSync(join(directory, 'big'), 'x'.repeat(100_000));
    const { machine: made } = machine('ATTR{fifo}!="x", ENV{FIFO}="1"\nATTR{folder}!="x", ENV{FOLDER}="1"\nATTR{big}!="x", ENV{BIG}="1"\nATTR{out}="1"\nENV{END}="$attr{fifo}."');
    const outcome = await processEvent(made, event('change'));
    expect(Object.fromEntries(outcome.result.databaseProperties)).toEqual({ END: '.' });
  });

  it('logs what it cannot write below /run, and carries out the rest', async () => {
    mkdirSync(join(root.path, 'run/udev'), { recursive: true });
    for (const name of ['data', 'tags', 'links']) writeFileSync(join(root.path, 'run/udev', name), '');
    const { machine: made } = machine('SYMLINK+="l/a", TAG+="t", ENV{A}="1"');
    await processEvent(made, event('add'));
    expect(lines.filter(({ level }) => level === 'warn').map(({ code }) => code)).toEqual(['link-failed', 'tag-failed', 'record-unwritable']);
    expect(readlinkSync(join(root.path, 'dev/l/a'))).toBe('../null');
    expect(broadcasts()).toHaveLength(1);
  });

  it('refuses a devpath that is none', async () => {
    await expect(processEvent(machine('').machine, { ...event('add'), devpath: '/devices/../x' })).rejects.toThrow('not a devpath');
  });
});
