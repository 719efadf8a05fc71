// An ext4 image of a directory, the same bytes each time: mke2fs makes it empty, debugfs puts the files into it in their order.

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { UnsupportedError } from '../errors.ts';
import { runImageTool, sizeOfFile } from './image-tool.ts';

export type Ext4Options = { readonly mtime: number; readonly signal?: AbortSignal | undefined };

const BLOCK = 4096;
const INODE = 256;
/** Said, and not looked up in a mke2fs.conf. A journal would be in the way of mounting an image that nobody writes to. */
const FEATURES = 'none,extent,filetype,sparse_super,large_file,huge_file,dir_index,dir_nlink,extra_isize,64bit,flex_bg,metadata_csum';
/** Blocks that files need are counted; beside them bitmaps, tables and the blocks of directories. */
const SPARE_BLOCKS = 256;
const SPARE_SHARE = 0.02;

/**
 * Puts `files`, which are below `directory`, into a new image and gives its size. mke2fs -d is not used: it keeps owners and times of the
 * directory, and its order, which is another each time. Throws UnsupportedError.
 */
export async function writeExt4(image: string, directory: string, files: readonly { readonly path: string; readonly size: number }[], { mtime, signal }: Ext4Options): Promise<number> {
  const paths = files.map(({ path }) => path).sort();
  const directories = parentsOf(paths);
  const unwritable = paths.find((path) => /["\\\n]/.test(path));
  if (unwritable !== undefined) throw new UnsupportedError(`${JSON.stringify(unwritable)}: debugfs cannot write a file of this name`);
  const inodes = Math.ceil((paths.length + directories.length + 64) / 16) * 16;
  const data = files.reduce((sum, { size }) => sum + Math.ceil(size / BLOCK) + (size > 64 * 1024 * 1024 ? 2 : 0), 0);
  const blocks = Math.ceil((data + directories.length + paths.length / 32 + (inodes * INODE) / BLOCK) * (1 + SPARE_SHARE)) + SPARE_BLOCKS;
  // The same for the same files, and another for others: blkid goes by it.
  const uuid = uuidOf(JSON.stringify(files.map(({ path, size }) => [path, size])));
  // To both 0 means now.
  const env = { E2FSPROGS_FAKE_TIME: `${Math.max(1, mtime)}`, SOURCE_DATE_EPOCH: undefined, DEBUGFS_PAGER: undefined };
  await runImageTool('mke2fs', 'e2fsprogs', [
    '-q', '-F', '-t', 'ext4', '-O', FEATURES, '-b', `${BLOCK}`, '-I', `${INODE}`, '-N', `${inodes}`, '-m', '0', '-U', uuid,
    '-E', `hash_seed=${uuid},lazy_itable_init=0,nodiscard,root_owner=0:0`, image, `${blocks}`,
  ], { signal, env });
  // In the staging directory, with which it goes: only what is named is written.
  const script = join(directory, '.debugfs');
  const lines = ['rmdir lost+found'];
  for (const parent of directories) lines.push(`mkdir "/${parent}"`, `sif "/${parent}" mode 040755`);
  let current = '';
  for (const path of paths) {
    const slash = path.lastIndexOf('/');
    const parent = path.slice(0, Math.max(0, slash));
    if (parent !== current) lines.push(`cd "/${parent}"`);
    current = parent;
    lines.push(`write "${join(directory, path)}" "${path.slice(slash + 1)}"`, `sif "/${path}" mode 0100644`);
  }
  writeFileSync(script, `${lines.join('\n')}\n`, { flag: 'wx' });
  const { stderr } = await runImageTool('debugfs', 'e2fsprogs', ['-w', '-f', script, image], { signal, env });
  // Its status is 0 also where a command failed.
  const failure = stderr.split('\n').find((line) => line !== '' && !line.startsWith('debugfs '));
  if (failure !== undefined) throw new UnsupportedError(`debugfs: ${failure}`);
  return sizeOfFile(image);
}

/** The directories above these paths, parents first. */
function parentsOf(paths: readonly string[]): string[] {
  const parents = new Set<string>();
  for (const path of paths) {
    for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) parents.add(path.slice(0, slash));
  }
  return [...parents].sort();
}

/** RFC 9562: version 8, which says nothing of where it comes from. */
function uuidOf(text: string): string {
  const hash = createHash('sha256').update(text).digest();
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x80, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
