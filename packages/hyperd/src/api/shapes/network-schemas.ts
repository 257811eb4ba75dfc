import { Type } from 'typebox';

const text = Type.Optional(Type.String());

export const NetworkRequest = Type.Object({
  name: text,
  subnet: Type.Optional(
    Type.String({ description: 'address with prefix length; one that is free where it is left out' }),
  ),
  gateway: Type.Optional(Type.String({ description: "the bridge's address (default: the subnet's first)" })),
  mtu: Type.Optional(Type.Integer({ description: "default: as the host's way to the world has it" })),
  labels: Type.Optional(Type.Record(Type.String(), Type.String())),
});

export const NetworkName = Type.Object({ Name: Type.String() });

export const NetworkInfo = Type.Object({
  name: Type.String(),
  bridge: Type.String({ description: 'device of the host' }),
  subnet: Type.String(),
  gateway: Type.String(),
  mtu: Type.Integer(),
  labels: Type.Record(Type.String(), Type.String()),
  createdAt: Type.Integer({ description: 'seconds since the epoch' }),
  pods: Type.Array(Type.Object({ pod: Type.String(), address: Type.String(), mac: Type.String() }), {
    description: 'that have a place on it, running or not',
  }),
});

export const NetworkList = Type.Object({ networks: Type.Array(NetworkInfo) });
