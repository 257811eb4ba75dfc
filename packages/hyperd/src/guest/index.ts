export type * from './agent.ts';
export * from './builtins.ts';
export { CommandError } from './command-error.ts';
export { connectAgent } from './connection.ts';
export * from './guest-socket.ts';
export { guestText } from './guest-text.ts';
