// The text of one file of /run/udev/data: lines of a letter, a colon and a value, as libudev reads them.

import { LimitError } from '../errors.ts';
import type { DeviceRecord } from './record.ts';

/** Real ones have 200 bytes to 8 KiB. */
export const RECORD_FILE_MAX = 1 << 20;
export const RECORD_LINES_MAX = 1 << 14;

/** The version of the format. Files without it are older than `Q:`: each of their tags is a current one. */
const RECORD_VERSION = '1';

/** What an empty file says: the device was seen, and there is nothing to tell of it. */
export const EMPTY_RECORD: DeviceRecord = {
  links: [], linkPriority: 0, initialisedUsec: 0, properties: new Map(), tags: new Set(), currentTags: new Set(),
};

/**
 * The record of a file. Lines that are none, or of a kind that this version does not know (`W:` of old ones), are left out.
 * Throws LimitError beyond RECORD_FILE_MAX or RECORD_LINES_MAX.
 */
export function parseRecord(text: string, file = 'record'): DeviceRecord {
  if (text.length > RECORD_FILE_MAX) {
    throw new LimitError({ file, limit: 'RECORD_FILE_MAX', maximum: RECORD_FILE_MAX, actual: text.length });
  }
  const lines = text.split('\n');
  if (lines.length > RECORD_LINES_MAX) {
    throw new LimitError({ file, limit: 'RECORD_LINES_MAX', maximum: RECORD_LINES_MAX, actual: lines.length });
  }
  const links = new Set<string>();
  const properties = new Map<string, string>();
  const tags = new Set<string>();
  const currentTags = new Set<string>();
  let linkPriority = 0;
  let initialisedUsec = 0;
  let isVersioned = false;
  for (const line of lines) {
    const value = line.slice(2);
    if (line[1] !== ':' || value === '') continue;
    switch (line[0]) {
      case 'S':
        links.add(value);
        break;
      case 'L':
        linkPriority = integer(value);
        break;
      case 'I':
        initialisedUsec = Math.max(integer(value), 0);
        break;
      case 'E': {
        const equals = value.indexOf('=');
        if (equals > 0) properties.set(value.slice(0, equals), value.slice(equals + 1));
        break;
      }
      case 'G':
        tags.add(value);
        break;
      case 'Q':
        currentTags.add(value);
        break;
      case 'V':
        isVersioned = true;
        break;
      default:
    }
  }
  return { links: [...links], linkPriority, initialisedUsec, properties, tags, currentTags: isVersioned ? currentTags : new Set(tags) };
}

/**
 * The text for a record; '' for one that says nothing, whatever its time. A value ends at a newline, which would be another line of the
 * file; names that cannot be in it are left out.
 */
export function formatRecord(record: DeviceRecord): string {
  if (saysNothing(record)) return '';
  const { links, linkPriority, initialisedUsec, properties, tags, currentTags } = record;
  const lines = [
    ...links.filter(isWord).map((link) => `S:${link}`),
    ...(linkPriority === 0 ? [] : [`L:${linkPriority}`]),
    ...(initialisedUsec === 0 ? [] : [`I:${initialisedUsec}`]),
    ...[...properties].filter(isStored).map(([key, value]) => `E:${key}=${firstLine(value)}`),
    ...[...tags].filter(isWord).map((tag) => `G:${tag}`),
    ...[...currentTags].filter(isWord).map((tag) => `Q:${tag}`),
    `V:${RECORD_VERSION}`,
  ];
  return `${lines.join('\n')}\n`;
}

function saysNothing({ links, linkPriority, properties, tags, currentTags }: DeviceRecord): boolean {
  return links.length === 0 && linkPriority === 0 && ![...properties].some(isStored) && tags.size === 0 && currentTags.size === 0;
}

/** A leading dot keeps a property out of the database (udev(7)). */
function isStored([key]: readonly [string, string]): boolean {
  return isWord(key) && !key.startsWith('.') && !key.includes('=');
}

function isWord(text: string): boolean {
  return text !== '' && !text.includes('\n');
}

function firstLine(text: string): string {
  const end = text.indexOf('\n');
  return end < 0 ? text : text.slice(0, end);
}

/** 0 for what is no integer that a number holds exactly. */
function integer(text: string): number {
  const value = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : 0;
  return Number.isSafeInteger(value) ? value : 0;
}
