export { parseContainerSpec, parsePodSpec } from './parse-pod-spec.ts';
export type * from './pod-spec.ts';
export { checkContainerName } from './rules.ts';
export { ContainerSchema, PodSchema } from './schema.ts';
