// Tests a rule in TypeScript or JavaScript, which is a function: node --test examples/test-rule.mjs
import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { rule } from './rules/65-backup-disk.rules.mjs';

/** A disk as rules see it, when a file system of this label was found on it. */
function labelled(label, action = 'add') {
  const device = {
    devpath: '/devices/virtual/block/sdx', syspath: '/sys/devices/virtual/block/sdx', sysname: 'sdx', sysnum: undefined, subsystem: 'block', devtype: 'disk',
    driver: undefined, devnum: { type: 'block', major: 8, minor: 368 }, ifindex: undefined, devname: 'sdx', properties: new Map(), parent: undefined,
    attribute: () => undefined, attributeNames: () => [],
  };
  const event = {
    action, properties: new Map([['ID_FS_LABEL', label]]), symlinks: [], tags: [], stored: new Map(),
    name: undefined, owner: undefined, group: undefined, mode: undefined, signal: AbortSignal.timeout(1000),
  };
  return rule(device, event);
}

test('the newest backup gets the link', () => {
  deepEqual(labelled('backup-2026'), {
    properties: { BACKUP_YEAR: '2026' }, symlinks: ['backup', 'backup/2026'], mode: 0o600, options: { linkPriority: 2026 }, run: ['backup-disk sdx'],
  });
});

test('other disks, and those that go, are left alone', () => {
  equal(labelled('music'), undefined);
  equal(labelled('backup-2026', 'remove'), undefined);
});
