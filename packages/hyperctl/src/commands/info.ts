import type { Command } from '../command.ts';
import { decimalSize } from '../format.ts';

export const command: Command = {
  name: 'info',
  operands: '',
  summary: 'Describe the daemon and its host',
  options: [],
  operandCount: [0, 0],
  async run({ client, terminal }) {
    const [info, version] = await Promise.all([client.info(), client.version()]);
    const lines = [
      `Images: ${info.Images}`,
      `Containers: ${info.Containers}`,
      `PODs: ${info.Pods}`,
      `Storage Driver: ${info.Driver}`,
      ...info.DriverStatus.map(([name, value]) => `  ${name}: ${value}`),
      `Hyper Root Dir: ${info.DockerRootDir}`,
      `Index Server Address: ${info.IndexServerAddress}`,
      `Execution Driver: ${info.ExecutionDriver}`,
      `Total Memory: ${decimalSize(info.MemTotal * 1024)}`,
      `Operating System: ${info['Operating System']}`,
      `Hyperd Version: ${version}`,
    ];
    terminal.stdout.write(`${lines.join('\n')}\n`);
    return 0;
  },
};
