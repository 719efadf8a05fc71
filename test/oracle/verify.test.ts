import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

import { RULES_PACKAGES, rulesFilesBelow, UDEV_257, udevadm257 } from '../../scripts/bench-rules.mjs';
import { unpackedFromSuite, unpackedPackage } from '../../scripts/debian-package.mjs';
import { messageOf } from '../../src/errors.ts';
import { parseRules } from '../../src/udev/rules/parse.ts';
import { readRulesFile } from '../../src/udev/rules/rule-files.ts';
import { formatGoldens, type Golden, GOLDEN_FILE, readGoldens } from '../udev/rules/verify-goldens.ts';
import { type Run, run, runOurs } from './oracle.ts';

const [command = '', ...prefix] = orReason(udevadm257, []);
const reason = command === '' ? why(udevadm257) : undefined;
const verify257 = (args: readonly string[]): Run => run(command, [...prefix, 'verify', ...args]);

/** Packages that bring rules, udev's own of two releases among them: the corpus as far as Debian has it. */
const PACKAGES = [...RULES_PACKAGES, 'udev', 'systemd', 'dmsetup', 'e2fsprogs', 'util-linux-extra'];
const packaged = (): string[] => PACKAGES.flatMap((name) => rulesFilesBelow(unpackedPackage(name)));
const corpusReason = why(packaged);
const corpus = corpusReason === undefined ? [...packaged(), ...orReason(() => rulesFilesBelow(unpackedFromSuite('trixie', UDEV_257)), [])] : [];

describe('parseRules on the rules of Debian\'s packages', () => {
  it.skipIf(corpusReason !== undefined)(`reads every file without an error${suffix(corpusReason)}`, () => {
    // Which groups there are is another matter.
    const names = { resolveUser: () => 0, resolveGroup: () => 0 };
    const complaints = corpus.flatMap((file) => parseRules(readRulesFile(file), basename(file), names).problems);
    expect(complaints).toEqual([]);
    expect(corpus.length).toBeGreaterThan(100);
  }, 600_000);

  it.skipIf(reason !== undefined || corpusReason !== undefined)(`verifies them with the output of udev 257${suffix(reason ?? corpusReason)}`, () => {
    expect(runOurs('tsudevadm', ['verify', ...corpus])).toEqual(verify257(corpus));
  });
});

describe.skipIf(reason !== undefined)(`udevadm verify of udev 257${suffix(reason)}`, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'tsmodprobe-verify-'));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));
  const write = (name: string, text: string): string => {
    const path = join(scratch, name);
    writeFileSync(path, text);
    return path;
  };

  it('says what the goldens hold', async () => {
    const goldens = readGoldens();
    const paths = goldens.map(({ rules }, i) => write(`${i}.rules`, rules));
    const said = messagesByFile(verify257(['--no-summary', ...paths]).stderr);
    const fresh = goldens.map((golden, i): Golden => ({ ...golden, messages: said.get(paths[i] ?? '') ?? [] }));
    // vitest -u writes the file anew.
    await expect(formatGoldens(fresh)).toMatchFileSnapshot(GOLDEN_FILE);
  });

  it('and ours print the same, whatever the options', () => {
    const good = write('good.rules', 'KERNEL=="a", TAG+="b"\n');
    const bad = write('bad.rules', 'FOO="a"\nKERNEL=="a",TAG+="b", OWNER="no such user"\n');
    const style = write('style.rules', 'KERNEL=="a",TAG+="b"\n');
    const long = write('long.rules', `FOO="a"\n#${'x'.repeat(16383)}\n`);
    const calls = [
      [good], [bad], [style], [long, good], [bad, '--no-style'], [style, '--no-style'], [bad, '--no-summary'], [bad, '-N', 'never'], [bad, '--resolve-names=late'],
      [good, good, `${scratch}//good.rules`], [`${scratch}/gone.rules`, good], ['--root', scratch, good], ['-N', 'often'], ['-N'], ['--root'], ['--no', good],
      ['--bogus'], ['-x'], ['--root', join(scratch, 'nothing')], [good, '--no-sum'], ['/dev/null', good], ['--root', scratch],
    ];
    const rows = (runVerify: (args: readonly string[]) => Run) => calls.map((args) => ({ args, ...runVerify(args) }));
    expect(rows((args) => runOurs('tsudevadm', ['verify', ...args]))).toEqual(rows(verify257));
  });

  it('of directories, too', () => {
    const directory = mkdtempSync(join(scratch, 'directory-'));
    writeFileSync(join(directory, '10-b.rules'), 'FOO="a"\n');
    writeFileSync(join(directory, '9-a.rules'), 'BAR="a"\n');
    writeFileSync(join(directory, 'readme'), 'BAR="a"\n');
    writeFileSync(join(directory, '.hidden.rules'), 'BAR="a"\n');
    expect(runOurs('tsudevadm', ['verify', directory])).toEqual(verify257([directory]));
  });
});

function messagesByFile(stderr: string): Map<string, string[]> {
  const messages = new Map<string, string[]>();
  for (const line of stderr.split('\n')) {
    const [, file, message] = /^(\/[^:]*\.rules):(\d+ .*)$/.exec(line) ?? [];
    if (file !== undefined && message !== undefined) messages.set(file, [...(messages.get(file) ?? []), message]);
  }
  return messages;
}

/** Debian 13's udev and the packages come from Debian's archive; where that cannot be reached, the goldens still speak. */
function why(need: () => unknown): string | undefined {
  try {
    need();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function orReason<Value>(need: () => Value, otherwise: Value): Value {
  return why(need) === undefined ? need() : otherwise;
}

function suffix(text: string | undefined): string {
  return text === undefined ? '' : ` (skipped: ${text.split('\n', 1)[0]})`;
}
