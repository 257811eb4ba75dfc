import assert from 'node:assert/strict';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { type RestReply, rest } from './rest.ts';

interface Operation {
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: object }>> }>
  >;
}

/** The daemon's own description of its answers, to hold them to it. */
export class AnswerSchemas {
  readonly #ajv: Ajv2020;
  readonly #paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;

  private constructor(document: {
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  }) {
    this.#ajv = new Ajv2020({ strict: false, allErrors: true });
    formats.default(this.#ajv);
    this.#ajv.addSchema({ $id: 'openapi', ...document });
    this.#paths = document.paths;
  }

  static async of(socket: string): Promise<AnswerSchemas> {
    return new AnswerSchemas(JSON.parse((await rest(socket, 'GET /openapi.json')).body));
  }

  /** Fails where the reply's status or JSON is not what the document says; `line` is the call. */
  check(line: string, reply: RestReply): void {
    const [method = '', url = ''] = line.split(' ');
    const path = (url.split('?')[0] ?? '').replace(/^\/v[0-9.]+\//, '/');
    const operation = this.#paths[path]?.[method.toLowerCase()];
    assert.ok(operation, `${method} ${path} is described`);
    const status = String(reply.status);
    const answer = operation.responses[status];
    if (reply.status >= 400) return;
    assert.ok(answer, `${line}: status ${status} is described`);
    const schema = answer.content?.['application/json']?.schema;
    if (!schema) return;
    const escaped = path.replaceAll('/', '~1');
    const place = `openapi#/paths/${escaped}/${method.toLowerCase()}/responses/${status}/content/application~1json/schema`;
    const validate = this.#ajv.getSchema(place) ?? this.#ajv.compile({ $ref: place });
    assert.ok(
      validate(JSON.parse(reply.body)),
      `${line}: ${this.#ajv.errorsText(validate.errors)}: ${reply.body}`,
    );
  }
}
