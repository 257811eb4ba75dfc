import { KnownFlags, takeFlags } from './flags.ts';
import type { Dockerfile, Instruction, InstructionOf, Stage } from './instruction.ts';
import { readStatements, type Statement } from './lines.ts';
import { parseError, shown } from './parse-error.ts';
import { parseInstruction } from './parse-instruction.ts';

const MAX_STATEMENTS = 100_000;
const STAGE_NAME = /^[a-z][a-z0-9-_.]*$/;

/** Reads a Dockerfile (the language of BuildKit's frontend). Throws `invalid-argument`, naming the line. */
export function parseDockerfile(text: string): Dockerfile {
  const { escapeChar, statements } = readStatements(text);
  if (statements.length === 0) throw parseError(1, 'file with no instructions');
  if (statements.length > MAX_STATEMENTS)
    throw parseError(1, `there are ${statements.length} instructions, at most ${MAX_STATEMENTS} are read`);
  const globalArgs: InstructionOf<'arg'>[] = [];
  const stages: (Stage & { readonly instructions: Instruction[] })[] = [];
  for (const statement of statements) {
    if (statement.keyword === 'FROM') {
      stages.push({ ...parseFrom(statement, escapeChar), index: stages.length, instructions: [] });
      continue;
    }
    const instruction = parseInstruction(statement, escapeChar);
    const stage = stages.at(-1);
    if (stage) stage.instructions.push(instruction);
    else if (instruction.kind === 'arg') globalArgs.push(instruction);
    else
      throw parseError(
        statement.line,
        'no build stage in current context: only ARG may come before the first FROM',
      );
  }
  if (stages.length === 0) throw parseError(1, 'no build stage in current context: there is no FROM');
  return { escapeChar, globalArgs, stages };
}

function parseFrom({ rest, line }: Statement, escapeChar: string): Omit<Stage, 'index' | 'instructions'> {
  const taken = takeFlags(rest, escapeChar);
  const platform = new KnownFlags(taken.flags, line, 'FROM', ['platform']).text('platform');
  const [base, as, name, ...more] = taken.rest.split(/\s+/).filter((word) => word !== '');
  if (
    base === undefined ||
    more.length > 0 ||
    (as !== undefined && (as.toUpperCase() !== 'AS' || name === undefined))
  )
    throw parseError(line, 'FROM requires either one or three arguments');
  const lower = name?.toLowerCase();
  if (lower !== undefined && !STAGE_NAME.test(lower))
    throw parseError(
      line,
      `invalid name for build stage: ${shown(name ?? '')}, name can't start with a number or contain symbols`,
    );
  return { base, name: lower, platform, line, text: `FROM ${rest}` };
}

/** Reads the trigger of an ONBUILD, as images hold it. Throws `invalid-argument`. */
export function parseTrigger(trigger: string): Instruction[] {
  const { statements, escapeChar } = readStatements(trigger);
  return statements.map((statement) => {
    if (['FROM', 'ONBUILD', 'MAINTAINER'].includes(statement.keyword))
      throw parseError(statement.line, `${statement.keyword} isn't allowed as an ONBUILD trigger`);
    return parseInstruction(statement, escapeChar);
  });
}
