// Looks through the configuration of modprobe and depmod for what does not do what its author thinks. Reads, and changes nothing.

import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';

import { codeOf, messageOf } from '../errors.ts';
import type { LogRecord, System } from '../system.ts';
import { parseKernelCmdline } from './cmdline.ts';
import { type ConfigOptions, loadConfig } from './config-files.ts';
import { type Config, ConfigBuilder } from './config.ts';
import { ImageReader } from './image-reader.ts';
import { lintAliases } from './lint-aliases.ts';
import { lintBlacklist, lintCmdlineBlacklist, lintDeny } from './lint-blacklist.ts';
import { lintCommands, lintDependencies } from './lint-commands.ts';
import { lintDepmod } from './lint-depmod.ts';
import { lintFiles, surveyConfig } from './lint-files.ts';
import { type Finding, finding, sortFindings } from './lint-finding.ts';
import { lintLines } from './lint-lines.ts';
import { LintModules, type LintScope } from './lint-modules.ts';
import { assignedParameters, lintOptions, type ParameterFacts } from './lint-options.ts';
import { parseModuleInfo } from './modinfo.ts';
import { ModuleDb } from './module-db.ts';
import type { ModuleSource } from './module-source.ts';

/** Begins the symbol of each parameter's name (__module_param_call, include/linux/moduleparam.h), behind the end of another. */
const PARAM_SYMBOL = '\0__param_str_';

export type LintReport = {
  /** By file and line. */
  readonly findings: readonly Finding[];
  /** The configuration files that modprobe and depmod read. */
  readonly files: readonly string[];
};

export type LintOptions = Pick<ConfigOptions, 'configPaths'> & {
  /** Files and directories to read in place of the directories named depmod.d. */
  readonly depmodPaths?: readonly string[] | undefined;
};

/** Without an index of modules, only files and the form of lines are looked at, and a finding says so. */
export async function lint(system: System, source: ModuleSource, options: LintOptions = {}): Promise<LintReport> {
  const survey = surveyConfig(system, options);
  const files = new Map(survey.flatMap((file) => (file.status === 'read' ? [[file.path, file]] : [])));
  const findings = [...lintFiles(survey), ...[...files.values()].flatMap((file) => (file.status === 'read' ? lintLines(file.text, file.path) : []))];
  const depmod = options.depmodPaths || !options.configPaths ? lintDepmodFiles(system, source, options.depmodPaths) : { findings: [], files: [] };
  findings.push(...depmod.findings);
  const read = [...files.keys(), ...depmod.files];
  // What is said of bad lines and files is a finding, and no message.
  const told = new Set(['bad-line', 'nested-directory', 'unreadable']);
  const error = (record: LogRecord) => {
    if (!told.has(record.code)) system.log.error(record);
  };
  const warn = (record: LogRecord) => {
    if (!told.has(record.code)) system.log.warn(record);
  };
  const config = loadConfig({ ...system, log: { ...system.log, error, warn } }, source, options);
  const cmdline = `${system.roots.proc}/cmdline`;
  findings.push(...lintCmdlineBlacklist(strictCmdline(cmdline)));
  const modules = new LintModules(config, new ModuleDb(source, system.log));
  if (!modules.known) {
    findings.push(finding('error', 'no-index', { file: source.name }, 'no index of modules here (depmod makes one, -S names another release): nothing was checked against modules'));
    return { findings: sortFindings(findings), files: read };
  }
  const scope: LintScope = { config, modules, isVendor: (line) => files.get(line.file)?.vendor ?? false };
  const table = await readParameters(system, config, modules, findings);
  findings.push(
    ...lintBlacklist(scope), ...lintDeny(scope), ...lintOptions(scope, table, cmdline), ...lintAliases(scope),
    ...lintCommands(scope), ...lintDependencies(scope, (line) => files.has(line.file)),
  );
  return { findings: sortFindings(findings), files: read };
}

function lintDepmodFiles(system: System, source: ModuleSource, configPaths: readonly string[] | undefined): LintReport {
  const survey = surveyConfig(system, { configPaths }, 'depmod.d');
  const files = survey.flatMap((file) => (file.status === 'read' ? [file] : [])).sort((a, b) => (basename(a.path) < basename(b.path) ? -1 : 1));
  const vendor = new Set(files.filter((file) => file.vendor).map(({ path }) => path));
  const isDirectory = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const findings = files.length === 0 ? [] : lintDepmod(files.map(({ path, text }) => ({ file: path, text })), {
    release: system.release, paths: isDirectory(source.name) ? new Set(readdirSync(source.name, { recursive: true, encoding: 'utf8' })) : undefined, 
    // Those of a foreign root are that machine's.
    isDirectory: (path) => isDirectory(system.roots.config + path), isVendor: ({ file }) => vendor.has(file),
  });
  return { findings: [...lintFiles(survey), ...findings], files: files.map(({ path }) => path) };
}

/** The kernel command line as kmod understands it. A foreign root has none. */
function strictCmdline(path: string): Config {
  const config = new ConfigBuilder();
  try {
    parseKernelCmdline(readFileSync(path, 'latin1'), path, config, { strict: true });
  } catch (error) {
    // Other errors were told when the configuration was read.
    if (codeOf(error) === undefined) throw error;
  }
  return config;
}

async function readParameters(system: System, config: Config, modules: LintModules, findings: Finding[]): Promise<Map<string, ParameterFacts | undefined>> {
  const reader = new ImageReader(system);
  const read = async ([module, names]: [string, ReadonlySet<string>]): Promise<[string, ParameterFacts | undefined]> => {
    const path = modules.pathOf(module);
    if (path === undefined) return [module, undefined];
    try {
      return [module, await reader.use(path, (image) => parameterFacts(image, path, names))];
    } catch (error) {
      findings.push(finding('warning', 'unreadable-module', { file: path }, `could not be read, so that its options were not checked: ${messageOf(error)}`));
      return [module, undefined];
    }
  };
  return new Map(await Promise.all([...assignedParameters(config, modules)].map(read)));
}

function parameterFacts(image: Uint8Array, path: string, names: ReadonlySet<string>): ParameterFacts | undefined {
  const parameters = parseModuleInfo(image, path)?.parameters;
  if (!parameters) return undefined;
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  const has = (text: string) => bytes.includes(text, 0, 'latin1');
  // Where the symbols are stripped, only the name itself is left, between other strings.
  const prefix = has(PARAM_SYMBOL) ? PARAM_SYMBOL : '\0';
  const undeclared = has('\0__param\0') ? [...names].filter((name) => has(`${prefix}${name}\0`)) : [];
  return { parameters, undeclared: new Set(undeclared) };
}
