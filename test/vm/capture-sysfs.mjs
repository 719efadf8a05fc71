// Runs in a guest: writes the devices below /sys as text in the manner of umockdev-record, for test/udev/captured-sysfs.ts.

import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const ATTRIBUTE_MAX = 1024;
/** Attributes that cost something to read, have side effects, or are of no use on another machine. */
const LEFT_OUT = /^(?:uevent|rom|resource\d*.*|vpd|remove|rescan|reset.*|power|msi_bus|msi_irqs|trace|statistics|queues|queue|mq|bdi|integrity|stat|cpu\d+|cache|topology|firmware_node)$/;
const lines = [];

function walk(directory) {
  const entries = readdirSync(directory, { withFileTypes: true });
  if (entries.some((entry) => entry.name === 'uevent')) device(directory, entries);
  for (const entry of entries) if (entry.isDirectory() && entry.name !== 'power') walk(join(directory, entry.name));
}

function device(directory, entries) {
  lines.push(`P: ${directory.slice('/sys'.length)}`);
  const subsystem = existsSync(join(directory, 'subsystem')) ? basename(readlinkSync(join(directory, 'subsystem'))) : undefined;
  if (subsystem !== undefined) lines.push(`E: SUBSYSTEM=${subsystem}`);
  for (const line of read(join(directory, 'uevent'))?.toString().split('\n').filter(Boolean) ?? []) lines.push(`E: ${line}`);
  attributes(directory, '', entries);
  if (existsSync(join(directory, 'driver'))) lines.push(`L: driver=${readlinkSync(join(directory, 'driver'))}`);
  lines.push('');
}

function attributes(directory, prefix, entries) {
  for (const { name } of entries) {
    const path = join(directory, name);
    if (LEFT_OUT.test(name)) continue;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() && prefix === '' && !existsSync(join(path, 'uevent'))) {
      if (/^(?:id|capabilities|device)$/.test(name)) attributes(path, `${name}/`, readdirSync(path, { withFileTypes: true }));
    } else if (stat?.isFile() && (stat.mode & 0o444) !== 0) {
      const bytes = read(path);
      if (bytes === undefined || bytes.length > ATTRIBUTE_MAX) continue;
      const text = bytes.toString('utf8').replace(/\n+$/, '');
      const isText = name !== 'descriptors' && name !== 'config' && !/[\p{Cc}\ufffd\\]/u.test(text);
      if (isText) lines.push(`A: ${prefix}${name}=${text}`);
      else if (name === 'descriptors') lines.push(`H: ${prefix}${name}=${bytes.toString('hex')}`);
    }
  }
}

function read(path) {
  try {
    return readFileSync(path);
  } catch (error) {
    if (error?.code === undefined) throw error;
    return undefined;
  }
}

walk('/sys/devices');
writeFileSync(process.argv[2], `${lines.join('\n')}\n`);
