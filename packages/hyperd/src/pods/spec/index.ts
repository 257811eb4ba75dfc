export { parseContainerSpec, parsePodSpec, parseServices } from './parse-pod-spec.ts';
export type * from './pod-spec.ts';
export { parsePortMappings, parsePortSelectors } from './port-mapping.ts';
export { readJson } from './read-json.ts';
export { checkContainerName } from './rules.ts';
export { ContainerSchema, PodSchema, PortMappingSchema, ServicesSchema } from './schema.ts';
