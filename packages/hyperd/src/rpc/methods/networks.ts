import { portMappingShape } from '../../api/shapes/port-mapping.ts';
import type { ServiceChange } from '../../pods/balancing.ts';
import { parsePortMappings, parsePortSelectors, parseServices } from '../../pods/spec/index.ts';
import type { Methods, RpcContext } from '../context.ts';
import { PortMappingSchema, type UserService, UserServiceSchema } from '../gen/types_pb.js';
import { jsonArray } from '../messages.ts';

/** What pods balance and publish. */
export function networkMethods({
  pods,
}: RpcContext): Methods<
  | 'serviceList'
  | 'serviceAdd'
  | 'serviceUpdate'
  | 'serviceDelete'
  | 'portMappingList'
  | 'portMappingAdd'
  | 'portMappingDel'
> {
  const change =
    (kind: ServiceChange) =>
    async ({ podID, services }: { readonly podID: string; readonly services: UserService[] }) => {
      await pods.changeServices(podID, kind, parseServices(jsonArray(UserServiceSchema, services)));
      return {};
    };
  return {
    serviceList: ({ podID }) => ({
      services: pods.services(podID).map(({ hosts, ...service }) => ({ ...service, hosts: [...hosts] })),
    }),
    serviceAdd: change('add'),
    serviceUpdate: change('update'),
    serviceDelete: change('delete'),
    portMappingList: ({ podID }) => ({
      portMappings: pods.portMappings(podID).map((mapping) => {
        const { containerPort = '', hostPort = '', protocol = '' } = portMappingShape(mapping);
        return { containerPort, hostPort, protocol };
      }),
    }),
    async portMappingAdd({ podID, portMappings }) {
      await pods.addPortMappings(podID, parsePortMappings(jsonArray(PortMappingSchema, portMappings)));
      return {};
    },
    async portMappingDel({ podID, portMappings }) {
      await pods.deletePortMappings(podID, parsePortSelectors(jsonArray(PortMappingSchema, portMappings)));
      return {};
    },
  };
}
