// The layout of hwdb.bin, shared by its reader and its compiler.

/*
 * All numbers little-endian, offsets from the start of the file.
 *
 * header   0 "KSLPHHRH"  8 version of the tool (8)  16 file size (8)  24 header size (8)  32 node size (8)  40 child entry size (8)
 *         48 value entry size (8)  56 root node (8)  64 bytes of nodes (8)  72 bytes of strings (8)  80 end
 * node     0 prefix, a string (8)  8 number of children (1)  16 number of values (8)  24 end; then its child entries, its value entries
 * child    0 character (1)  8 node (8)  16 end
 * value    0 key, a string (8)  8 value, a string (8)  16 end in old files
 *         16 file it is from, a string (8)  24 line (4)  28 priority of the file (2)  32 end
 * The nodes lie behind the header, the strings behind the nodes, each ended by NUL.
 */
export const HWDB_SIGNATURE = 'KSLPHHRH';
export const HEADER_SIZE = 80;
export const NODE_SIZE = 24;
export const CHILD_ENTRY_SIZE = 16;
export const VALUE_ENTRY_SIZE = 32;
export const VALUE_ENTRY_SIZE_OLD = 16;
