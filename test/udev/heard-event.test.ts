import { describe, expect, it } from 'vitest';

import { heardJson, heardText, isHeard, parseSubsystemFilter, tagsOf } from '../../src/udev/heard-event.ts';
import type { HeardEvent } from '../../src/udev/heard-event.ts';

const event: HeardEvent = {
  source: 'udev', time: 16029292.139,
  properties: new Map([['ACTION', 'change'], ['DEVPATH', '/devices/virtual/mem/null'], ['SUBSYSTEM', 'mem'], ['DEVTYPE', 'disk']]),
};

describe('heardText', () => {
  it('is the line of udevadm monitor', () => {
    expect(heardText(event, false)).toBe('UDEV  [16029.292139] change   /devices/virtual/mem/null (mem)\n');
    expect(heardText({ ...event, source: 'kernel', time: 7 }, false)).toBe('KERNEL[0.007000] change   /devices/virtual/mem/null (mem)\n');
  });

  it('has the properties and a blank line below', () => {
    expect(heardText({ ...event, time: 1000 }, true)).toBe(
      'UDEV  [1.000000] change   /devices/virtual/mem/null (mem)\nACTION=change\nDEVPATH=/devices/virtual/mem/null\nSUBSYSTEM=mem\nDEVTYPE=disk\n\n',
    );
  });
});

describe('heardJson', () => {
  it('is one object a line', () => {
    expect(heardJson({ ...event, time: 1500 })).toBe(`${JSON.stringify({
      schema: 1, source: 'udev', time: 1.5, action: 'change', devpath: '/devices/virtual/mem/null', subsystem: 'mem',
      properties: { ACTION: 'change', DEVPATH: '/devices/virtual/mem/null', SUBSYSTEM: 'mem', DEVTYPE: 'disk' },
    })}\n`);
  });
});

describe('isHeard', () => {
  const hears = (subsystems: readonly string[], tags: readonly string[] = []) => (
    isHeard(event, { subsystems: subsystems.map(parseSubsystemFilter), tags }, () => tagsOf(':a:b:'))
  );
  it('takes one of the subsystems and one of the tags', () => {
    expect([hears([]), hears(['net', 'mem']), hears(['mem/disk']), hears(['mem'], ['b']), hears([], ['x', 'a'])]).toEqual([true, true, true, true, true]);
    expect([hears(['net']), hears(['mem/partition']), hears(['net'], ['b']), hears(['mem'], ['ab'])]).toEqual([false, false, false, false]);
  });
});
