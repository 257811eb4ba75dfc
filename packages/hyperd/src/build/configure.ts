import { HyperError } from '../errors.ts';
import { signalNumber } from '../signals.ts';
import type { Instruction, InstructionOf } from './dockerfile/instruction.ts';
import { exposedPorts, type ImageDraft } from './image-draft.ts';
import type { StageEnvironment } from './stage-environment.ts';

export type ConfigInstruction = Exclude<
  Instruction,
  InstructionOf<'run' | 'copy' | 'add' | 'workdir' | 'arg'>
>;

/** Carries out an instruction that changes nothing but the configuration. Returns what the history says of it; throws `invalid-argument`. */
export function configure(
  draft: ImageDraft,
  environment: StageEnvironment,
  instruction: ConfigInstruction,
): string {
  const { config } = draft;
  switch (instruction.kind) {
    case 'env': {
      const pairs = environment.pairs(instruction);
      for (const [key, value] of pairs) environment.setEnv(key, value);
      return `ENV ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}`;
    }
    case 'label': {
      const pairs = environment.pairs(instruction);
      config.Labels = { ...config.Labels, ...Object.fromEntries(pairs) };
      return `LABEL ${pairs.map(([key, value]) => `${key}=${value}`).join(' ')}`;
    }
    case 'cmd':
      draft.setCommand(draft.words(instruction.command));
      return `CMD ${quoted(config.Cmd ?? [])}`;
    case 'entrypoint':
      draft.setEntrypoint(draft.words(instruction.command));
      return `ENTRYPOINT ${quoted(config.Entrypoint ?? [])}`;
    case 'user':
      config.User = environment.expand(instruction.value);
      return `USER ${config.User}`;
    case 'stopsignal':
      config.StopSignal = environment.expand(instruction.value);
      signalNumber(config.StopSignal);
      return `STOPSIGNAL ${config.StopSignal}`;
    case 'maintainer':
      draft.author = instruction.value;
      return `MAINTAINER ${instruction.value}`;
    case 'expose': {
      const ports = instruction.values
        .flatMap((value) => environment.expandWords(value))
        .flatMap(exposedPorts);
      config.ExposedPorts = { ...config.ExposedPorts, ...objects(ports) };
      return `EXPOSE map[${ports
        .sort()
        .map((port) => `${port}:{}`)
        .join(' ')}]`;
    }
    case 'volume': {
      const volumes = instruction.values.map((value) => environment.expand(value));
      if (volumes.includes(''))
        throw new HyperError('invalid-argument', 'VOLUME specified can not be an empty string');
      config.Volumes = { ...config.Volumes, ...objects(volumes) };
      return `VOLUME [${volumes.join(' ')}]`;
    }
    case 'shell':
      config.Shell = [...instruction.values];
      return `SHELL [${instruction.values.join(' ')}]`;
    case 'onbuild':
      config.OnBuild = [...(config.OnBuild ?? []), instruction.trigger];
      return `ONBUILD ${instruction.trigger}`;
    case 'healthcheck':
      draft.setHealthcheck(instruction.healthcheck);
      return instruction.text;
  }
}

function objects(names: readonly string[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}

/** As Go's %q prints a list. */
function quoted(words: readonly string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(' ')}]`;
}
