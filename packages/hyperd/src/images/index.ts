export type * from './image-service.ts';
export { createImageService } from './service.ts';
