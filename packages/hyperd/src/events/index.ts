export { EVENT_ACTIONS, type EventType, type HyperEvent } from './event.ts';
export { Events } from './events.ts';
