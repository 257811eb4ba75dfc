import type { TSchema } from 'typebox';
import type {
  AnswerDescription,
  AnswerDescriptions,
  ParameterDescription,
  ParameterDescriptions,
} from './call.ts';

/** A parameter that is false for `""`, 0, no, false, none, and true for all else. */
export function flag(text: string): ParameterDescription {
  return { text, type: 'flag' };
}

/** A parameter that is a decimal number. */
export function integer(text: string): ParameterDescription {
  return { text, type: 'integer' };
}

/** A parameter that holds a JSON document. */
export function jsonText(text: string, schema: TSchema): ParameterDescription {
  return { text, type: 'json', schema };
}

/** A parameter that must not be empty or missing. */
export function needed(parameter: string | ParameterDescription): ParameterDescription {
  return { ...asDescription(parameter), required: true };
}

/** A parameter that may come several times. */
export function repeated(text: string): ParameterDescription {
  return { text, repeats: true };
}

/** An answer whose JSON is of `schema`. */
export function ofSchema(schema: TSchema, text: string): AnswerDescription {
  return { text, schema };
}

/** An answer that is a stream of another content type than JSON or text. */
export function ofType(contentType: string, text: string): AnswerDescription {
  return { text, contentType };
}

export interface Parameter extends ParameterDescription {
  /** Its name, then its further spellings. */
  readonly names: readonly [string, ...string[]];
}

/** The parameters one by one. */
export function parametersOf(descriptions: ParameterDescriptions): Parameter[] {
  return Object.entries(descriptions).flatMap(([key, description]) =>
    key.split(', ').map((spellings) => ({
      ...asDescription(description),
      names: spellings.split('/') as [string, ...string[]],
    })),
  );
}

export interface StatusAnswer extends AnswerDescription {
  readonly status: number;
}

/** The answers one by one, by status. */
export function answersOf(descriptions: AnswerDescriptions): StatusAnswer[] {
  if (typeof descriptions === 'string') {
    const [, status = '200', text = descriptions] = /^(\d{3})[ ,]*(.*)$/s.exec(descriptions) ?? [];
    return [{ status: Number(status), text: text || 'success' }];
  }
  return Object.entries(descriptions).map(([status, answer]) => ({
    status: Number(status),
    ...(typeof answer === 'string' ? { text: answer } : answer),
  }));
}

function asDescription(parameter: string | ParameterDescription): ParameterDescription {
  return typeof parameter === 'string' ? { text: parameter } : parameter;
}
