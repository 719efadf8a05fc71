// npm run reference: writes docs/reference.md, all that src/index.ts exports, from the declarations and docstrings of the sources.

import { writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const top = dirname(dirname(fileURLToPath(import.meta.url)));
export const REFERENCE = join(top, 'docs/reference.md');

/** By the folders that a name is declared in. @type {[folders: string[], title: string][]} */
const GROUPS = [
  [['src', 'native-bindings'], 'The machine, and errors'], [['src/kmod', 'src/image'], 'Modules'], [['src/udev'], 'Devices'], [['src/udev/rules'], 'Rules'], [['src/machine'], 'Recordings of machines'], [['src/vm'], 'Guests'],
];

/**
 * @typedef {{ name: string, file: string, kind: 'value' | 'type', doc: string, code: string }} Entry
 */

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(REFERENCE, referenceText());
  console.log(REFERENCE);
}

/** @returns {string} */
export function referenceText() {
  const entries = referenceEntries();
  const groups = GROUPS.map(([folders, title]) => {
    const all = entries.filter(({ file }) => folders.includes(dirname(file)));
    return { title, all: [...all.filter(({ kind }) => kind === 'value'), ...all.filter(({ kind }) => kind === 'type')] };
  });
  const missing = entries.filter(({ name }) => !groups.some(({ all }) => all.some((entry) => entry.name === name)));
  if (missing.length > 0) throw new Error(`scripts/reference.mjs has no group for ${missing.map(({ name, file }) => `${name} of ${file}`).join(', ')}`);
  return `# Library reference

Made by \`npm run reference\` from the sources: what \`import … from 'tsmodprobe'\` gives. [examples/](../examples) shows it at work.

${groups.map(({ title, all }) => `- ${title}: ${all.map(({ name }) => `[${name}](#${name.toLowerCase()})`).join(', ')}`).join('\n')}
${groups.map(({ title, all }) => `\n## ${title}\n${all.map(entryText).join('')}`).join('')}`;
}

/** @param {Entry} entry */
function entryText({ name, doc, code }) {
  return `\n### ${name}\n\n${doc === '' ? '' : `${doc}\n\n`}\`\`\`ts\n${code}\n\`\`\`\n`;
}

/** In the order of src/index.ts. @returns {Entry[]} */
export function referenceEntries() {
  const index = join(top, 'src/index.ts');
  const config = ts.getParsedCommandLineOfConfigFile(join(top, 'tsconfig.build.json'), { noEmit: false, emitDeclarationOnly: true }, { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (diagnostic) => {
    throw new Error(ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n'));
  } });
  const program = ts.createProgram([index], config?.options ?? {});
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(index);
  const module = source && checker.getSymbolAtLocation(source);
  if (!module) throw new Error(`${index}: no module`);
  /** @type {Map<string, ts.SourceFile>} */
  const declared = new Map();
  const exported = checker.getExportsOfModule(module).map((symbol) => ({ name: symbol.name, target: symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol }));
  return exported.map(({ name, target }) => {
    const declaration = target.declarations?.[0];
    if (!declaration) throw new Error(`${name}: no declaration`);
    const file = declaration.getSourceFile();
    const statement = statementOf(declarationFile(program, file, declared), target.name);
    const text = statement.getText().replace(/^export declare /, '').replace(/^export /, '').replaceAll(/^\s*#private;\n/gm, '');
    return {
      name, file: relative(top, file.fileName), kind: target.flags & ts.SymbolFlags.Value ? 'value' : 'type',
      doc: docOf(statement), code: text.replaceAll(/^( {4})+/gm, (blanks) => ' '.repeat(blanks.length / 2)),
    };
  });
}

/** @param {ts.Program} program @param {ts.SourceFile} file @param {Map<string, ts.SourceFile>} known */
function declarationFile(program, file, known) {
  const cached = known.get(file.fileName);
  if (cached) return cached;
  let text = '';
  program.emit(file, (_, content) => void (text = content), undefined, true);
  const declaration = ts.createSourceFile(file.fileName.replace(/\.ts$/, '.d.ts'), text, ts.ScriptTarget.Latest, true);
  known.set(file.fileName, declaration);
  return declaration;
}

/** @param {ts.SourceFile} file @param {string} name */
function statementOf(file, name) {
  const found = file.statements.find((statement) => (
    ts.isVariableStatement(statement) ? statement.declarationList.declarations.some((each) => each.name.getText() === name)
      : 'name' in statement && /** @type {ts.NamedDeclaration} */ (statement).name?.getText() === name
  ));
  if (!found) throw new Error(`${file.fileName}: ${name} is not declared there`);
  return found;
}

/** The text of the docstring, and a line for each of its tags. @param {ts.Statement} statement */
function docOf(statement) {
  return ts.getJSDocCommentsAndTags(statement).filter(ts.isJSDoc).flatMap((doc) => [
    ts.getTextOfJSDocComment(doc.comment) ?? '',
    ...(doc.tags ?? []).map((tag) => `- ${ts.isJSDocParameterTag(tag) ? `\`${tag.name.getText()}\`` : tag.tagName.text}: ${ts.getTextOfJSDocComment(tag.comment) ?? ''}`),
  ]).filter((line) => line !== '').join('\n');
}
