// How V8 compiles what runs for some tenths of a second and is done.

/**
 * Most of what depmod costs over plain modules is the compiling of functions, and with all that they call inlined that takes twice as long;
 * modinfo of many modules has the processors that it takes from those who decompress.
 * For the whole process, so only for a program that does nothing else; and to be called once its threads have started: V8's own code comes
 * out of a snapshot that is for the flags of the start. node:v8 is loaded here: most runs have no use for it.
 */
export function compileSparingly(): void {
  process.getBuiltinModule('node:v8').setFlagsFromString('--no-turbo-inlining');
}
