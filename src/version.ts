// The version of this package, as package.json has it (a test compares).

/** Of this package. */
export const VERSION = '0.1.0';
