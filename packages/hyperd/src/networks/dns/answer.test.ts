import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, encode, type Question } from 'dns-packet';
import fc from 'fast-check';
import { answerOf, bareReply, isAnswerTo, type Names, parseQuery, type Query, RCODES } from './answer.ts';

const names: Names = {
  addressesOf: (name) => (name === 'web' ? ['10.1.0.2', '10.1.0.3'] : []),
  nameOf: (address) => {
    if (!address.startsWith('10.1.0.')) return null;
    return address === '10.1.0.2' ? 'web' : undefined;
  },
};

function queryOf(name: string, type: Question['type'] = 'A'): Query {
  const query = parseQuery(encode({ id: 7, type: 'query', flags: 0x100, questions: [{ name, type }] }));
  assert.ok(typeof query === 'object');
  return query;
}

/** Code, then what the records hold; undefined: the host's servers are asked. */
function answered(name: string, type: Question['type'] = 'A'): unknown[] | undefined {
  const message = answerOf(queryOf(name, type), names);
  if (!message) return undefined;
  const {
    id,
    rcode,
    answers = [],
    questions,
  } = decode(message) as ReturnType<typeof decode> & { rcode: string };
  assert.deepEqual([id, questions?.[0]?.name], [7, name]);
  return [rcode, ...answers.map((answer) => ('data' in answer ? answer.data : undefined))];
}

for (const [what, name, type, expected] of [
  ['a name of pods has their addresses', 'web', 'A', ['NOERROR', '10.1.0.2', '10.1.0.3']],
  ['names are the same in any case', 'WeB', 'A', ['NOERROR', '10.1.0.2', '10.1.0.3']],
  ['a pod has no address of IPv6, but is there', 'web', 'AAAA', ['NOERROR']],
  ['a name that no pod has does not exist', 'gone', 'A', ['NXDOMAIN']],
  ['an address has the name of its pod', '2.0.1.10.in-addr.arpa', 'PTR', ['NOERROR', 'web']],
  ['an address that no pod has has no name', '9.0.1.10.in-addr.arpa', 'PTR', ['NXDOMAIN']],
  ["names with dots are for the host's servers", 'web.example', 'A', undefined],
  ['so are addresses elsewhere', '8.8.8.8.in-addr.arpa', 'PTR', undefined],
] as const)
  test(what, () => assert.deepEqual(answered(name, type), expected));

test('parseQuery() answers nothing to answers, and an error to what is no question', () => {
  assert.equal(
    parseQuery(encode({ id: 1, type: 'response', questions: [{ name: 'a', type: 'A' }] })),
    undefined,
  );
  assert.equal(parseQuery(encode({ id: 1, type: 'query', questions: [] })), RCODES.formatError);
  const chaos = encode({ id: 1, type: 'query', questions: [{ name: 'a', type: 'TXT', class: 'CH' }] });
  assert.equal(parseQuery(chaos), RCODES.refused);
});

test('whatever a guest sends, there is an answer to it or none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, asQuery) => {
      const message = Buffer.from(bytes);
      if (asQuery && message.length >= 6) message.set([0, 0, 1, 0, 0, 1], 0);
      const query = parseQuery(message);
      if (typeof query === 'number') assert.equal(bareReply(message, query).length, 12);
      else if (query) answerOf(query, names);
    }),
  );
});

test('an answer counts only for the question and the id that were sent', () => {
  const query = queryOf('a.example');
  const answer = (id: number, name: string) =>
    encode({ id, type: 'response', questions: [{ name, type: 'A' }] });
  assert.ok(isAnswerTo(answer(9, 'A.example'), query, 9));
  assert.ok(!isAnswerTo(answer(8, 'a.example'), query, 9));
  assert.ok(!isAnswerTo(answer(9, 'b.example'), query, 9));
  assert.ok(!isAnswerTo(Buffer.alloc(3), query, 9));
});
