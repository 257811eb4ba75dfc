import { daemonInfo } from '../../api/daemon-info.ts';
import { machineStatus } from '../../api/shapes/list.ts';
import type { Methods, RpcContext } from '../context.ts';

/** Of this interface, as the original's. */
const API_VERSION = '0.1.0';

/** The daemon itself, and its machines. */
export function daemonMethods(context: RpcContext): Methods<'ping' | 'info' | 'version' | 'vMList'> {
  const { pods, machines, about } = context;
  return {
    ping: () => ({ hyperdStats: 'OK' }),
    version: () => ({ version: about.version, apiVersion: API_VERSION }),
    async info() {
      const info = await daemonInfo(context);
      return {
        ...{ ID: info.ID, containers: info.Containers, images: info.Images, pods: BigInt(info.Pods) },
        ...{ driver: info.Driver, executionDriver: info.ExecutionDriver },
        dstatus: info.DriverStatus.map(([name = '', status = '']) => ({ name, status })),
        ...{ dockerRootDir: info.DockerRootDir, indexServerAddress: info.IndexServerAddress },
        ...{ memTotal: BigInt(info.MemTotal), operatingSystem: info['Operating System'], name: info.Name },
      };
    },
    vMList({ podID, vmID }) {
      const all = pods.list();
      const selected = machines
        .list()
        .filter(({ id, owner }) => (vmID === '' || id === vmID) && (podID === '' || owner === podID));
      return {
        vmList: selected.map((machine) => ({
          ...{ vmID: machine.id, podID: machine.owner ?? '', status: machineStatus(machine, all) },
        })),
      };
    },
  };
}
