import type { Command } from '../command.ts';
import { imagesOf, pullingImages } from '../create-pod.ts';
import { podFromFile } from '../pod-file.ts';
import { containerOf, POD_OPTIONS, podOf, publishedOf, withPublished } from '../pod-options.ts';
import { UsageError } from '../usage-error.ts';
import { makeHostDirectories } from '../volume-options.ts';

export const command: Command = {
  name: 'create',
  operands: '[POD] IMAGE [COMMAND...]  (no IMAGE with -p, a file with -y)',
  summary: 'Create a pod, or with -c a container in a pod, without starting it',
  options: [
    ...POD_OPTIONS,
    { name: 'container', short: 'c', help: 'create a container; the first operand is the id of its pod' },
  ],
  stopAtOperand: true,
  operandCount: [0, Number.POSITIVE_INFINITY],
  async run({ client, options, operands, terminal }) {
    const ofContainer = options.flag('container');
    const pod = ofContainer ? operands[0] : undefined;
    if (ofContainer && pod === undefined) throw new UsageError('create -c needs the id of a POD');
    const others = operands.slice(ofContainer ? 1 : 0);
    const { pod: fromFile, operands: rest } = await podFromFile(options, others, terminal.stdin);
    const [image, ...words] = rest;
    if (!fromFile && image === undefined)
      throw new UsageError('create needs an IMAGE, or a pod file with -p');
    if (pod !== undefined && publishedOf(options).length > 0)
      throw new UsageError('create -c takes no --publish: ports are the pod\'s, see "hyperctl ports add"');
    if (pod !== undefined) {
      const spec = fromFile ?? containerOf(options, image ?? '', words, options.text('name'));
      if (!fromFile) await makeHostDirectories(options);
      const images = fromFile ? imagesOf({ containers: [fromFile] }) : [image ?? ''];
      const id = await pullingImages(
        client,
        images,
        () => client.createContainer(pod, spec),
        terminal.stderr,
      );
      terminal.stdout.write(`Container ID is ${id}\n`);
      return 0;
    }
    const spec = fromFile ? withPublished(fromFile, options) : podOf(options, image ?? '', words);
    if (!fromFile) await makeHostDirectories(options);
    const id = await pullingImages(client, imagesOf(spec), () => client.createPod(spec), terminal.stderr);
    terminal.stdout.write(`Pod ID is ${id}\n`);
    return 0;
  },
};
