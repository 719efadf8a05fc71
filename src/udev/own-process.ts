// What the daemon makes of its own process: what its programs inherit, what it may do, and that memory pressure takes others first.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import { errnoName } from '../system.ts';
import type { System } from '../system.ts';

/**
 * linux/capability.h: what the daemon itself needs. The bounding set stays as it was, so that programs of rules, which are root's, get by
 * their exec what the service manager allows (capabilities(7)). packaging/systemd/tsudevd.service has the same list.
 */
export const KEPT_CAPABILITIES: Readonly<Record<string, number>> = {
  CAP_CHOWN: 0, CAP_DAC_OVERRIDE: 1, CAP_DAC_READ_SEARCH: 2, CAP_FOWNER: 3, CAP_FSETID: 4, CAP_KILL: 5, CAP_SETGID: 6, CAP_SETUID: 7,
  CAP_NET_ADMIN: 12, CAP_SYS_MODULE: 16, CAP_SYS_RAWIO: 17, CAP_SYS_ADMIN: 21, CAP_SYS_RESOURCE: 24, CAP_SYS_TTY_CONFIG: 26, CAP_MKNOD: 27,
  CAP_SYSLOG: 34,
};

/** Never taken by the OOM killer: without us nothing that comes later has a device. */
const OOM_SCORE_ADJ_MIN = -1000;
const UMASK = 0o022;

export interface OwnProcess {
  /** Gives a program that was just started the OOM score that we had ourselves. */
  adopt(pid: number): void;
}

/** Descriptors that we inherited stay ours, the umask is 022, and the OOM killer is told to spare us where we may say so. Failures are logged. */
export async function settleOwnProcess(system: System): Promise<OwnProcess> {
  process.umask(UMASK);
  await closeOnExec(system);
  const score = lowerOomScore(system);
  return {
    adopt: (pid) => {
      if (score !== undefined) setOomScore(system, String(pid), score);
    },
  };
}

/** Drops all capabilities but KEPT_CAPABILITIES. Threads that run already keep theirs: call it early. */
export async function dropCapabilities(system: System): Promise<void> {
  const keep = Object.values(KEPT_CAPABILITIES).reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);
  const errno = (await system.native()).limitCapabilities(keep);
  if (errno !== 0) system.log.warn({ code: 'capabilities', message: `capabilities cannot be dropped: ${errnoName(errno)}` });
}

/** libuv does so for the lowest ones only (uv_disable_stdio_inheritance(3)), and stops at the first gap. */
async function closeOnExec(system: System): Promise<void> {
  const native = await system.native();
  for (const name of namesIn(system, join(system.roots.proc, 'self/fd'))) {
    // The descriptor of the listing itself is closed by now: EBADF.
    if (Number(name) > 2) native.setCloseOnExec(Number(name));
  }
}

/** Our score so far, where it was lowered. */
function lowerOomScore(system: System): number | undefined {
  const path = join(system.roots.proc, 'self/oom_score_adj');
  try {
    const score = Number(readFileSync(path, 'latin1'));
    if (score <= OOM_SCORE_ADJ_MIN) return undefined;
    return setOomScore(system, 'self', OOM_SCORE_ADJ_MIN) ? score : undefined;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'oom-score', message: messageOf(error) });
    return undefined;
  }
}

function setOomScore(system: System, pid: string, score: number): boolean {
  try {
    writeFileSync(join(system.roots.proc, pid, 'oom_score_adj'), `${score}\n`, { flag: 'r+' });
    return true;
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    // Not with CAP_SYS_RESOURCE, or a program that has ended by now.
    system.log.debug({ code: 'oom-score', message: messageOf(error) });
    return false;
  }
}

function namesIn(system: System, directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    system.log.debug({ code: 'descriptors', message: messageOf(error) });
    return [];
  }
}
