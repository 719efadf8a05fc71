// What a daemon and its children take: processor time and memory, as /proc says.

import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks of /proc/PID/stat a second (USER_HZ, asm-generic/param.h). */
export const USER_HZ = 100;

/** MB, and milliseconds of processor time with those of the children that it has waited for, of a process and its children. @param {number} daemon */
export function useOf(daemon) {
  const sum = { rss: 0, pss: 0 };
  for (const { pid } of processesOf(daemon)) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
    sum.rss += Number(/^Rss:\s*(\d+)/m.exec(text)?.[1]) / 1024;
    sum.pss += Number(/^Pss:\s*(\d+)/m.exec(text)?.[1]) / 1024;
  }
  return { ...sum, time: timeOf(daemon) };
}

/** The milliseconds alone. @param {number} daemon */
export function timeOf(daemon) {
  const ticks = processesOf(daemon).flatMap(({ fields }) => fields.slice(11, 15));
  return ticks.reduce((sum, field) => sum + field, 0) * 1000 / USER_HZ;
}

/** A process and its children. @param {number} daemon */
export function processesOf(daemon) {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const fields = fieldsOf(pid);
      return Number(pid) === daemon || fields[1] === daemon ? [{ pid, fields }] : [];
    } catch (error) {
      // It has ended since the listing.
      if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error;
      return [];
    }
  });
}

/** What /proc/PID/stat says behind the name of the program, as numbers: the first is a letter. @param {string} pid */
export function fieldsOf(pid) {
  return readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '').split(' ').map(Number);
}
