import { HyperError } from '../errors.ts';
import type { PodSpec } from './spec/pod-spec.ts';

/**
 * Refuses what a specification may ask for and this version cannot give: better an error than a pod that lacks it.
 * Throws `unsupported`, naming the field.
 */
export function refuseUnsupported(spec: PodSpec): void {
  const { internalNetworks, externalNetworks } = spec.portMappingWhiteLists;
  if (internalNetworks.length > 0 && externalNetworks.length > 0) {
    throw new HyperError(
      'unsupported',
      `create pod "${spec.id}": portmappingWhiteLists: nothing filters packets inside a machine of the user-mode network; publish on an address (hostIP) that only the wanted networks reach`,
    );
  }
}
