import type { PodServiceAddress } from '@hyperd/client';
import { UsageError } from './usage-error.ts';

export const SERVICE_VALUE = '[tcp:|udp:]IP:PORT[=IP:PORT,...]';

const ENDPOINT = /^([^:]+):(\d{1,5})$/;

/** Reads a service and its back ends; addresses are the daemon's to check. Throws UsageError. */
export function serviceAddress(text: string): PodServiceAddress {
  const [, protocol = 'tcp', address = '', backEnds] = /^(?:(tcp|udp):)?([^=]*)(?:=(.*))?$/.exec(text) ?? [];
  const [serviceIP, servicePort] = endpoint(address, text);
  const hosts = (backEnds ?? '').split(',').filter((host) => host !== '');
  return {
    ...{ serviceIP, servicePort, protocol },
    hosts: hosts.map((host) => {
      const [hostIP, hostPort] = endpoint(host, text);
      return { hostIP, hostPort };
    }),
  };
}

function endpoint(part: string, whole: string): [string, number] {
  const [, address, port] = ENDPOINT.exec(part) ?? [];
  if (address && port) return [address, Number(port)];
  throw new UsageError(
    `service "${whole}": "${part}" is no IP:PORT, want ${SERVICE_VALUE} such as 10.96.0.1:80=192.0.2.7:8080`,
  );
}
