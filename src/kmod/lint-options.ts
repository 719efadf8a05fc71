// What lint says of options lines: modules that cannot get them, parameters that modules do not have, values that a type does not take.

import type { Config, OptionsDirective } from './config.ts';
import { type Finding, finding } from './lint-finding.ts';
import { isPattern, type LintModules, type LintScope } from './lint-modules.ts';
import type { ModuleParameter } from './modinfo.ts';
import { valueProblem } from './parameter-type.ts';
import { nearestName } from './nearest.ts';

/** What a module's file says of parameters. */
export type ParameterFacts = {
  readonly parameters: readonly ModuleParameter[];
  /** Names that no entry declares, and that are in the image all the same: module_param_cb() declares nothing. */
  readonly undeclared: ReadonlySet<string>;
};

/** `undefined` for a module whose file could not be read. */
export type ParameterTable = ReadonlyMap<string, ParameterFacts | undefined>;

type Assignment = { readonly name: string; readonly value: string | undefined };

/** Parameters that the kernel takes for every module (kernel/module/main.c, lib/dynamic_debug.c). */
const OF_ALL_MODULES = new Set(['dyndbg', 'async_probe']);

/** The modules whose parameters `lintOptions` must know, with the names that are set. */
export function assignedParameters(config: Config, modules: LintModules): Map<string, Set<string>> {
  const assigned = new Map<string, Set<string>>();
  for (const options of config.options) {
    for (const module of receivers(options, config, modules)) {
      const names = assigned.get(module) ?? new Set();
      for (const { name } of assignments(options.params)) names.add(name);
      assigned.set(module, names);
    }
  }
  return assigned;
}

/** @param cmdline the file of the kernel command line: that also names what is no module of ours */
export function lintOptions(scope: LintScope, table: ParameterTable, cmdline: string): Finding[] {
  const { config, modules } = scope;
  return config.options.flatMap((options) => {
    const fromCmdline = options.source.file === cmdline;
    const receiving = receivers(options, config, modules);
    if (receiving.length === 0) return fromCmdline ? [] : useless(options, scope);
    return receiving.flatMap((module) => {
      const facts = table.get(module);
      return facts ? assignments(options.params).flatMap((each) => lintAssignment(each, module, facts, options)) : [];
    });
  });
}

/**
 * The words of a line as the kernel takes them apart (parse_args, kernel/params.c): at white space outside of double quotes; - means _.
 * A word that begins with # was meant to end the line.
 */
export function assignments(params: string): Assignment[] {
  const words = params.match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
  const comment = words.findIndex((word) => word.startsWith('#'));
  return words.slice(0, comment < 0 ? words.length : comment).map((word) => {
    const bare = word.startsWith('"') ? word.slice(1).replace(/"$/, '') : word;
    const equals = bare.indexOf('=');
    const name = (equals < 0 ? bare : bare.slice(0, equals)).replaceAll('-', '_');
    const value = equals < 0 ? undefined : bare.slice(equals + 1).replace(/^"([^]*)"$/, '$1');
    return { name, value };
  });
}

/** The modules with a file that get a line: by their own name, or by the alias that they were asked for with. */
function receivers({ module }: OptionsDirective, config: Config, modules: LintModules): string[] {
  if (modules.state(module).kind === 'file') return [module];
  const configured = config.aliases.filter(({ pattern }) => pattern === module).map((alias) => alias.module);
  return [...configured, ...modules.ofPattern(module)].filter((name) => modules.state(name).kind === 'file');
}

function useless({ module, params, source }: OptionsDirective, { config, modules, isVendor }: LintScope): Finding[] {
  const state = modules.state(module);
  if (state.kind === 'builtin') {
    const instead = assignments(params).map(({ name, value }) => `${module}.${name}${value === undefined ? '' : `=${/\s/.test(value) ? `"${value}"` : value}`}`).join(' ');
    return [finding('error', 'builtin', source, `no effect: ${module} is built into the kernel; its parameters go on the kernel command line: ${instead}`)];
  }
  if (state.kind === 'alias') {
    // An alias of a built-in module, or a name that a pattern matches.
    return [finding('error', 'options-alias', source, `no effect: ${module} is no module (it leads to ${state.modules.join(', ')}; name the module itself)`)];
  }
  if (isPattern(module)) return [finding('error', 'options-pattern', source, `no effect: options takes no patterns, and ${module} is no module`)];
  if (config.install.some((install) => install.module === module)) return [];
  return [finding(isVendor(source) ? 'note' : 'warning', 'no-such-module', source, `no effect: there is no module ${module}${modules.suggestion(module)}`)];
}

function lintAssignment({ name, value }: Assignment, module: string, facts: ParameterFacts, { source }: OptionsDirective): Finding[] {
  if (name === '' || OF_ALL_MODULES.has(name)) return [];
  const parameter = facts.parameters.find((each) => each.name.replaceAll('-', '_') === name);
  if (!parameter) {
    if (facts.undeclared.has(name)) return [];
    const known = facts.parameters.map((each) => each.name);
    const meant = nearestName(name, known);
    const hint = known.length === 0 ? ' (it has none)' : meant === undefined ? '' : ` (did you mean ${meant}?)`;
    return [finding('error', 'no-such-parameter', source, `no effect: ${module} has no parameter ${name}${hint}`)];
  }
  const problem = parameter.type === undefined ? undefined : valueProblem(parameter.type, value);
  return problem === undefined ? [] : [finding('error', 'bad-value', source, `${module} will not load: its parameter ${name} ${problem}`)];
}
