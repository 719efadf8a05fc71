// Runs an applet on a fixture root with a fake kernel, and keeps what it says.

import { openFakeNative } from '../../native-bindings/fake.ts';
import type { FakeNative } from '../../native-bindings/fake.ts';
import type { Applet, AppletContext } from '../../src/applets/applet.ts';
import { UsageError } from '../../src/errors.ts';
import { openSystem } from '../../src/system.ts';
import type { Roots } from '../../src/system.ts';

export type Ran = { readonly status: number; readonly stdout: string; readonly stderr: string };

export type RunOptions = {
  /** A directory that looks like /. Roots that the applet asks for itself hold. */
  readonly root: string;
  /** In place of some below `root`. */
  readonly roots?: Partial<Roots>;
  readonly release?: string;
  readonly native?: FakeNative;
  /** Nothing when absent. */
  readonly env?: NodeJS.ProcessEnv;
  /** SIGINT comes as soon as the event loop turns. */
  readonly interrupted?: boolean;
};

/** The applet as the command line calls it, a UsageError included. */
export async function runApplet(applet: Applet, argv: readonly string[], { root, roots, release = '6.12.0-test', native = openFakeNative(), env = {}, interrupted = false }: RunOptions): Promise<Ran> {
  const text = { stdout: '', stderr: '' };
  const context: AppletContext = {
    program: applet.name,
    stdout: (chunk) => void (text.stdout += chunk),
    stderr: (chunk) => void (text.stderr += chunk),
    isTty: { stdout: false, stderr: false },
    env,
    openSystem: (options) => openSystem({ root, release, native, ...(roots ? { roots } : {}), ...options }),
    terminal: () => undefined,
    signals: (handlers) => {
      if (interrupted) setImmediate(() => handlers.SIGINT?.());
      return () => undefined;
    },
  };
  try {
    return { status: await applet.run(argv, context), ...text };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { status: 1, stdout: text.stdout, stderr: `${text.stderr}${error.message}\n` };
  }
}
